"""Makes a reference curve of a run: `python docs/curves/thin.py RUN_FOLDER NAME`.

Writes NAME.jsonl, at most 50 of the run's records with what does not depend on the machine, and
NAME.svg, the drawing of the loss in its report.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = ["phase", "step", "epoch", "loss", "parts", "mean_loss", "knn_top1", "feature_rank"]


def main(run, name):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    every = -(-len(records) // 50)
    kept = [record for place, record in enumerate(records, 1) if place % every == 0 or place == len(records)]
    with (HERE / f"{name}.jsonl").open("w") as file:
        for record in kept:
            thin = {key: record[key] for key in KEPT if key in record}
            file.write(json.dumps(thin, default=str) + "\n")
    [svg, *_] = re.findall(r"<svg.*?</svg>", (run / "report.html").read_text(), re.DOTALL)
    (HERE / f"{name}.svg").write_text(svg + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
