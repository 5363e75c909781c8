"""Audits of a learned law at the level of the physics, and the certificate they make up."""

from .audit import Audit as Audit
from .audit_data import Evidence as Evidence
from .certificate import certify as certify
