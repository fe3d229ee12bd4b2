"""Seeds, hashes, versions, times and memory: what is needed to make the same run again."""

from __future__ import annotations

import pandas as pd

from mixedfx.pipeline.report import Section, facts_of, table_of
from mixedfx.pipeline.results import RunResults


def provenance(results: RunResults) -> Section:
    """Seeds, hashes, versions, times and memory: what is needed to make the same run again."""
    manifest = results.manifest
    facts = {
        "started": manifest.started,
        "finished": manifest.finished or "",
        "machine": f"{manifest.machine['system']}, {manifest.machine['cores']} cores",
        "seed": results.job.seed,
        "data hash": manifest.data.get("hash", ""),
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        "artefacts": str(results.folder),
    }
    rows = [
        {
            "step": record.step,
            "status": "used again" if record.reused else record.status,
            "seconds": f"{record.seconds:,.1f}",
            "peak memory (MiB)": round(record.peak_memory_mb),
            "inputs' hash": record.inputs[:12],
        }
        for record in manifest.steps.values()
    ]
    steps = table_of(
        pd.DataFrame(rows), "Steps", "Memory is the largest of the process up to the step's end."
    )
    return Section("provenance", "Provenance", facts=facts_of(facts), tables=(steps,))
