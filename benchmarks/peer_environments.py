"""The peers, pinned, each in a virtual environment of its own below `.tools/peers`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from measure import ROOT

PEERS = Path(__file__).resolve().parent / "peers"
PINS = {
    "azureml-inference-server-http": "1.5.1",
    "functions-framework": "3.10.2",
    "bentoml": "1.4.39",
    "litserve": "0.2.19",
    "mlflow": "3.17.2",
    "truss": "0.18.35",
}
BESIDE = {"bentoml": ("uv", "pip")}  # what it wants to find beside itself


def environment(name: str) -> str:
    """The `bin` folder of the peer's environment, made the first time."""
    folder = ROOT / ".tools" / "peers" / f"{name}-{PINS[name]}"
    wanted = [f"{name}=={PINS[name]}", "numpy", *BESIDE.get(name, ())]
    stamp = folder / "made-from"
    if not stamp.exists() or stamp.read_text() != " ".join(wanted):
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", str(folder)], check=True)
        python = str(folder / "bin" / "python")
        subprocess.run([*uv, "pip", "install", "-q", "-p", python, *wanted], check=True)
        stamp.write_text(" ".join(wanted))
    return str(folder / "bin")
