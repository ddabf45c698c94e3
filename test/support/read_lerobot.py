"""``read_lerobot.py FOLDER``: loads a dataset with the lerobot library, and prints as JSON what it
is then. Run by whatever Python has that library; imports nothing of this package.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib.metadata import version

os.environ["HF_HUB_OFFLINE"] = "1"


def main(folder: str) -> None:
    module = importlib.import_module("lerobot.datasets.lerobot_dataset")
    torch = importlib.import_module("torch")
    dataset = module.LeRobotDataset(
        "vla/recorded", root=folder, delta_timestamps={"action": [0.0, 0.1]}
    )
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=False)
    batches = list(loader)
    one = dataset[len(dataset) - 1]
    print(
        json.dumps(
            {
                "lerobot": version("lerobot"),
                "codebase": module.CODEBASE_VERSION,
                "fps": dataset.fps,
                "frames": len(dataset),
                "episodes": dataset.num_episodes,
                "cameras": dataset.meta.camera_keys,
                "batches": [len(batch["index"]) for batch in batches],
                "shapes": {
                    key: list(value.shape) for key, value in one.items() if hasattr(value, "shape")
                },
                "tasks": [dataset[index]["task"] for index in range(len(dataset))],
                "states": [row.tolist() for batch in batches for row in batch["observation.state"]],
                "forces": [row.item() for batch in batches for row in batch["observation.force"]],
                "actions": [row[0].tolist() for batch in batches for row in batch["action"]],
                "chunks": [row.tolist() for batch in batches for row in batch["action_chunk"]],
                "is_pad": one["action_is_pad"].tolist(),
                "greatest": float(one[dataset.meta.camera_keys[0]].max()),
                "statistics": sorted(dataset.meta.stats),
                "subset": len(module.LeRobotDataset("vla/recorded", root=folder, episodes=[0])),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
