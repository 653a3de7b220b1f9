"""The scores need numpy and scipy, and nothing else."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys

ALLOWED = {"numpy", "scipy", "sparseclust"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names and not top.startswith("_sysconfigdata"):
            raise ImportError(f"{name} is not numpy, scipy or the standard library")

sys.meta_path.insert(0, Blocker())
import sparseclust.metrics as metrics

true, pred = [0, 0, 1, 1], [0, 0, 1, 2]
for score in (metrics.adjusted_rand_score, metrics.adjusted_mutual_info_score, metrics.symmetric_best_dice):
    assert 0.5 < score(true, pred) < 1
metrics.match_instances(true, pred, iou_threshold=0.1)
metrics.summarize_scores(metrics.score_events(true, pred, event=[0, 0, 0, 0]))

ours = {name for name in sys.modules if name.startswith("sparseclust.")}
others = {name for name in ours if not name.startswith(("sparseclust.metrics", "sparseclust._version"))}
assert not others, others
try:
    import torch
except ImportError as error:
    print("blocked:", error)
"""


def test_import_with_everything_else_blocked():
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("blocked: torch")
