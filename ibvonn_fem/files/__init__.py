"""Files: read only where they are what they should be, written whole or not at all."""
