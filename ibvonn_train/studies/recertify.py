"""Make the certificate of an exported model again, when audits or their ranges have changed.

    python -m ibvonn_train.studies.recertify DIRECTORY --ensemble UNSEEN.h5 [--slow SLOW.h5]

Certificate, graphs and model card are replaced; the law stays as it is. A reason of a failure that
somebody wrote into the manifest stays while the audit fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..audits import Evidence
from ..audits.certificate import audits_on
from ..audits.reasons import REASONS
from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import open_law
from ..evaluation.law_rollouts import encoded
from ..export.stamp import stamp
from ..figures import write_card
from ..files.model_directory import read_document
from ..training.validation import ROLLOUTS


def recertify(
    directory: Path, data: TrajectoryEnsemble, slow: TrajectoryEnsemble | None = None
) -> list[dict[str, Any]]:
    """Audit an exported model on unseen data and write the certificate into it.

    Returns:
        The entries of the certificate.
    """
    law = open_law(directory)
    former = read_document(directory)["certificate"] or []
    written = {
        entry["audit"]: entry["reason"]
        for entry in former
        if entry.get("reason", REASONS.get(entry["audit"])) != REASONS.get(entry["audit"])
    }
    made = audits_on(law, Evidence(data, encoded(law, data), slow))
    entries = [audit.record() for audit in made]
    for entry in entries:
        if "reason" in entry:
            entry["reason"] = written.get(entry["audit"], entry["reason"])
    rollouts = [entry for entry in former if entry["audit"] == ROLLOUTS]  # the training's own
    stamp(directory, {"certificate": [*rollouts, *entries]})
    write_card(directory)
    return entries


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of ``python -m ibvonn_train.studies.recertify``."""
    parser = argparse.ArgumentParser(description="Make the certificate of a model again.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--ensemble", type=Path, required=True, help="unseen data")
    parser.add_argument("--slow", type=Path, help="slow protocols, for Jarzynski's equality")
    options = parser.parse_args(arguments)
    slow = None if options.slow is None else TrajectoryEnsemble.load(options.slow)
    entries = recertify(options.directory, TrajectoryEnsemble.load(options.ensemble), slow)
    for entry in entries:
        value = "-" if entry["value"] is None else f"{entry['value']:.4g}"
        sys.stdout.write(f"{entry['verdict']:<16}{entry['audit']:<28}{value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
