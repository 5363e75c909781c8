"""The terms of the loss, each module for the data on which its terms are evaluated."""
