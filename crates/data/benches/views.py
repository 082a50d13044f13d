"""The two views of benches/views.rs by torchvision on Pillow images: views.py; prints milliseconds
of one core that both views of an image take."""

import time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T


def measure(height, width, out, times):
    i = np.arange(height * width * 3)
    pixels = ((i * 37) % 251).astype(np.uint8) ^ (i // 7).astype(np.uint8)
    image = Image.fromarray(pixels.reshape(height, width, 3))
    side = max(out // 10 | 1, 3)
    view = T.Compose([
        T.RandomResizedCrop(out, scale=(0.2, 1.0), interpolation=T.InterpolationMode.BICUBIC),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        T.RandomGrayscale(0.2),
        T.RandomApply([T.GaussianBlur(side, (0.1, 2.0))], p=0.5),
        T.RandomHorizontalFlip(),
        T.PILToTensor(),
    ])
    view(image)
    start = time.process_time()
    for _ in range(times):
        view(image), view(image)
    return 1000 * (time.process_time() - start) / times


torch.set_num_threads(1)
print(f"32: {measure(32, 32, 32, 1000):.3f} ms")
print(f"500x375-to-224: {measure(375, 500, 224, 60):.3f} ms")
