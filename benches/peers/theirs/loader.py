"""Photos from files to u8 batches: ImageFolder, Pillow, torchvision and DataLoader."""

import time

import torch
from torch.utils.data import DataLoader, Sampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

BATCH = 128
SIDE = 224


class Passes(Sampler):
    """Shuffled passes without end, so that no worker ever waits for a new epoch."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        while True:
            yield from torch.randperm(self.count).tolist()


def measure(arguments):
    """Times one stretch of batches, as the other side does, with a worker a thread."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                SIDE, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
        ]
    )
    photos = ImageFolder(arguments.shared / "photos" / "train", transform)
    workers = arguments.threads
    loader = DataLoader(photos, BATCH, sampler=Passes(len(photos)), num_workers=workers)
    batches = iter(loader)
    timed = max(2 * len(photos) // BATCH, arguments.steps)
    timed = -(-timed // workers) * workers
    for _ in range(2 * workers):
        pixels, _labels = next(batches)
    assert pixels.dtype == torch.uint8 and pixels.shape == (BATCH, 3, SIDE, SIDE)
    start = time.perf_counter()
    for _ in range(timed):
        next(batches)
    seconds = [time.perf_counter() - start]
    return {"seconds": seconds, "unit": "images", "items": timed * BATCH}
