"""Two views of each image of a batch by torchvision on Pillow images, on one core."""

import time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T

IMAGES = 32


def measure(arguments):
    """`variant` is the side of the views, of images as large or of photos."""
    torch.set_num_threads(1)
    side = int(arguments.variant)
    height, width = (32, 32) if side == 32 else (375, 500)
    i = np.arange(height * width * 3)
    pixels = ((i * 37) % 251).astype(np.uint8) ^ (i // 7).astype(np.uint8)
    image = Image.fromarray(pixels.reshape(height, width, 3))
    kernel = max(side // 10 | 1, 3)
    view = T.Compose([
        T.RandomResizedCrop(side, scale=(0.2, 1.0), interpolation=T.InterpolationMode.BICUBIC),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        T.RandomGrayscale(0.2),
        T.RandomApply([T.GaussianBlur(kernel, (0.1, 2.0))], p=0.5),
        T.RandomHorizontalFlip(),
        T.PILToTensor(),
    ])
    seconds = []
    # The first batch warms up.
    for _ in range(1 + arguments.steps):
        start = time.perf_counter()
        for _ in range(IMAGES):
            view(image), view(image)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[1:], "unit": "images", "items": IMAGES}
