"""Audits of a learned law at the level of the physics, and the certificate they make up."""

from .audit import Audit as Audit
from .certificate import certify as certify
from .evidence import Evidence as Evidence
