"""Makes a picture of the tour from a run's folder.

python docs/pictures/take.py sheet RUN/pictures/fills.png mixmask HEIGHT
    The top HEIGHT pixels of a picture, at half its size if it is wide.
python docs/pictures/take.py figure RUN/report.html multilabel "F1 of each"
    The first figure of a report whose caption begins so, drawn by Chromium.

Writes NAME.png beside this script; moving pictures are copied by hand. Needs Pillow, and `chromium` for figures.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

HERE = Path(__file__).parent
MARGIN = 8
WIDEST = 960


def sheet(picture, height):
    image = Image.open(picture).convert("RGB")
    image = image.crop((0, 0, image.width, min(height, image.height)))
    return image.reduce(2) if image.width > WIDEST else image


def figure(report, caption):
    page = report.read_text()
    [style] = re.findall(r"<style>.*?</style>", page, re.DOTALL)
    figures = re.findall(r"<figure>(.*?)<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    shown = next(body for body, told in figures if told.startswith(caption))
    with tempfile.TemporaryDirectory() as folder:
        alone, taken = Path(folder, "figure.html"), Path(folder, "figure.png")
        alone.write_text(f'<!DOCTYPE html><meta charset="utf-8">{style}<figure>{shown}</figure>')
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        size = ["--window-size=960,3000", f"--user-data-dir={folder}/profile"]
        command = ["chromium", *options, *size, f"--screenshot={taken}", alone.as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        image = Image.open(taken).convert("RGB")
    white = Image.new("RGB", image.size, "white")
    drawn = image.crop(ImageChops.difference(image, white).getbbox())
    return ImageOps.expand(drawn, MARGIN, "white").quantize(64, dither=Image.Dither.NONE)


def main(kind, source, name, what):
    taken = sheet(Path(source), int(what)) if kind == "sheet" else figure(Path(source), what)
    taken.save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
