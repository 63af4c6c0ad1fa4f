"""Draw the scenes of the fake gateway: `python tests/testing/draw_scenes.py` (needs `pillow` and `av`).

Each scene is an H.264 clip of five seconds with the moov box first, as services deliver it, a thumbnail of its first
second and its last frame.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFilter

DATA = Path(__file__).parents[2] / "luma_async" / "testing" / "data"
RATE, FRAMES = 24, 120
SCALE = 2
"""Frames are drawn at twice their size and reduced, which smooths their edges."""


def mix(one, other, share):
    """Return a colour between two colours."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def gradient(size, top, bottom):
    """Return a picture that fades from one colour at the top to another at the bottom."""
    strip = Image.new("RGB", (1, size[1]))
    for y in range(size[1]):
        strip.putpixel((0, y), mix(top, bottom, y / size[1]))
    return strip.resize(size)


def glow(picture, shapes, blur):
    """Add light: shapes of a colour and an opacity, blurred."""
    light = Image.new("RGB", picture.size)
    pen = ImageDraw.Draw(light)
    for points, colour in shapes:
        pen.polygon(points, fill=colour)
    light = light.filter(ImageFilter.GaussianBlur(blur))
    return Image.composite(
        Image.blend(picture, light, 0.5), picture, light.convert("L").point(lambda v: min(255, v * 2))
    )


def ellipse(pen, x, y, rx, ry, colour):
    """Fill an ellipse around a point."""
    pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)


def cat(turn, size):
    """A cat dances on a stage with moving lights. `turn` counts beats."""
    w, h = size
    beat = math.sin(2 * math.pi * turn)
    bounce = abs(math.sin(2 * math.pi * turn)) * h * 0.035
    picture = gradient(size, (38, 14, 66), (126, 38, 96))
    lights = []
    for number, colour in enumerate([(255, 120, 80), (90, 190, 255), (255, 220, 110)]):
        x = w * (0.2 + 0.3 * number)
        aim = w * (0.5 + 0.32 * math.sin(2 * math.pi * turn / 2 + number * 2.1))
        lights.append((((x - 6, 0), (x + 6, 0), (aim + w * 0.1, h * 0.86), (aim - w * 0.1, h * 0.86)), colour))
    picture = glow(picture, lights, w * 0.012)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, h * 0.82, w, h), fill=(66, 30, 40))
    for number in range(9):
        x = w * number / 8
        pen.line(((w / 2 + (x - w / 2) * 0.7, h * 0.82), (w / 2 + (x - w / 2) * 1.6, h)), fill=(86, 42, 50), width=4)
    ellipse(pen, w / 2, h * 0.9, w * 0.15 - bounce, h * 0.03, (40, 18, 28))
    fur, pale, dark = (236, 150, 62), (255, 226, 184), (60, 30, 30)
    x, y = w / 2 + beat * w * 0.02, h * 0.68 - bounce
    lean = beat * w * 0.018
    tail = [
        (x + w * 0.07 + w * 0.11 * s, y + h * 0.1 - h * 0.3 * s + math.sin(5 * s + 2 * math.pi * turn) * h * 0.06)
        for s in (number / 14 for number in range(15))
    ]
    for number, (tx, ty) in enumerate(tail):
        ellipse(pen, tx, ty, w * 0.016, w * 0.016, fur if number % 4 else (200, 110, 40))
    for side in (-1, 1):
        lift = max(0.0, side * beat) * h * 0.1
        ellipse(pen, x + side * w * 0.045, h * 0.87 - bounce - lift * 0.6, w * 0.028, h * 0.035, fur)
        pen.line(
            (
                (x + side * w * 0.05, y - h * 0.04),
                (x + side * w * (0.12 + 0.02 * beat), y - h * 0.16 - side * beat * h * 0.1),
            ),
            fill=fur,
            width=round(w * 0.032),
        )
        ellipse(
            pen, x + side * w * (0.12 + 0.02 * beat), y - h * 0.16 - side * beat * h * 0.1, w * 0.02, w * 0.02, pale
        )
    ellipse(pen, x, y + h * 0.03, w * 0.08, h * 0.18, fur)
    ellipse(pen, x, y + h * 0.06, w * 0.048, h * 0.12, pale)
    hx, hy = x + lean, y - h * 0.26
    for side in (-1, 1):
        pen.polygon(
            (
                (hx + side * w * 0.075, hy - h * 0.02),
                (hx + side * w * 0.07, hy - h * 0.2),
                (hx + side * w * 0.012, hy - h * 0.11),
            ),
            fill=fur,
        )
        pen.polygon(
            (
                (hx + side * w * 0.066, hy - h * 0.06),
                (hx + side * w * 0.063, hy - h * 0.165),
                (hx + side * w * 0.026, hy - h * 0.1),
            ),
            fill=(240, 160, 150),
        )
    ellipse(pen, hx, hy, w * 0.085, h * 0.125, fur)
    for offset in (-0.03, 0.0, 0.03):
        pen.line(
            ((hx + w * offset, hy - h * 0.12), (hx + w * offset * 0.7, hy - h * 0.065)), fill=(200, 110, 40), width=6
        )
    ellipse(pen, hx, hy + h * 0.055, w * 0.045, h * 0.05, pale)
    closed = (turn * 2) % 4 < 0.25
    for side in (-1, 1):
        ex, ey = hx + side * w * 0.034, hy - h * 0.008
        if closed:
            pen.line(((ex - w * 0.014, ey), (ex + w * 0.014, ey)), fill=dark, width=6)
        else:
            ellipse(pen, ex, ey, w * 0.014, h * 0.032, (250, 250, 235))
            ellipse(pen, ex + lean * 0.2, ey, w * 0.007, h * 0.026, dark)
        for spread in (-1, 0, 1):
            pen.line(
                ((hx + side * w * 0.035, hy + h * 0.055), (hx + side * w * 0.115, hy + h * (0.05 + 0.025 * spread))),
                fill=(255, 240, 220),
                width=3,
            )
    pen.polygon(
        ((hx - w * 0.01, hy + h * 0.03), (hx + w * 0.01, hy + h * 0.03), (hx, hy + h * 0.05)), fill=(226, 100, 110)
    )
    pen.arc((hx - w * 0.022, hy + h * 0.03, hx, hy + h * 0.075), 10, 170, fill=dark, width=5)
    pen.arc((hx, hy + h * 0.03, hx + w * 0.022, hy + h * 0.075), 10, 170, fill=dark, width=5)
    return picture


def boat(moment, size):
    """A paper boat sails down a street in the rain. `moment` runs from 0 to 1."""
    w, h = size
    rng = random.Random(5)
    picture = gradient(size, (44, 58, 84), (122, 134, 148))
    pen = ImageDraw.Draw(picture)
    shore = h * 0.6
    x = -moment * w * 0.12
    while x < w * 1.2:
        width, height = w * rng.uniform(0.1, 0.17), h * rng.uniform(0.26, 0.5)
        wall = mix((40, 46, 64), (92, 70, 66), rng.random())
        pen.rectangle((x, shore - height, x + width, shore), fill=wall)
        pen.polygon(
            (
                (x - w * 0.01, shore - height),
                (x + width / 2, shore - height - h * 0.09),
                (x + width + w * 0.01, shore - height),
            ),
            fill=mix(wall, (20, 22, 34), 0.5),
        )
        for row in range(int(height / (h * 0.11))):
            for column in range(3):
                lit = rng.random() < 0.55
                wx, wy = x + width * (0.14 + 0.28 * column), shore - height + h * (0.03 + 0.11 * row)
                pen.rectangle(
                    (wx, wy, wx + width * 0.16, wy + h * 0.055), fill=(250, 206, 122) if lit else (48, 56, 78)
                )
        x += width + w * rng.uniform(0.0, 0.02)
    street = picture.crop((0, round(shore - h * 0.4), w, round(shore))).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    street = Image.blend(
        street.filter(ImageFilter.GaussianBlur(w * 0.006)), gradient(street.size, (70, 84, 106), (28, 36, 54)), 0.55
    )
    picture.paste(street, (0, round(shore)))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, shore - h * 0.012, w, shore + h * 0.008), fill=(52, 56, 66))
    for _ in range(26):
        age = (moment * 5 + rng.random()) % 1
        rx, ry = rng.random() * w, shore + h * rng.uniform(0.05, 0.38)
        grown = age * w * 0.03
        shade = mix((170, 190, 210), (60, 72, 94), age)
        pen.ellipse((rx - grown, ry - grown * 0.3, rx + grown, ry + grown * 0.3), outline=shade, width=3)
    bx = w * (0.2 + 0.6 * moment)
    by = h * 0.8 + math.sin(moment * 2 * math.pi * 3) * h * 0.012
    tilt = math.sin(moment * 2 * math.pi * 3 + 0.8) * 0.07

    def at(dx, dy):
        return (
            bx + (dx * math.cos(tilt) - dy * math.sin(tilt)) * w * 0.1,
            by + (dx * math.sin(tilt) + dy * math.cos(tilt)) * w * 0.1,
        )

    for wake in range(4):
        reach = w * (0.09 + 0.05 * wake)
        pen.arc(
            (bx - reach * 1.7, by - reach * 0.1, bx + reach * 0.7, by + reach * 0.22),
            20,
            200,
            fill=(150, 166, 186),
            width=3,
        )
    pen.polygon((at(-0.9, 0.3), at(0.9, 0.3), at(0.5, 0.75), at(-0.5, 0.75)), fill=(98, 110, 128))
    pen.polygon((at(-0.42, -0.1), at(0, -1.05), at(0.42, -0.1)), fill=(238, 240, 236))
    pen.polygon((at(0, -1.05), at(0.42, -0.1), at(0, -0.1)), fill=(204, 210, 212))
    pen.polygon((at(-1.15, -0.28), at(0, -0.02), at(0, 0.38), at(-0.6, 0.38)), fill=(252, 252, 246))
    pen.polygon((at(1.15, -0.28), at(0, -0.02), at(0, 0.38), at(0.6, 0.38)), fill=(222, 226, 226))
    pen.polygon((at(-0.6, 0.38), at(0.6, 0.38), at(0.52, 0.3), at(-0.52, 0.3)), fill=(190, 196, 200))
    for _ in range(170):
        speed = rng.choice((8, 10, 12))
        fall = (moment * speed + rng.random()) % 1
        rx, ry = rng.random() * w * 1.1 - fall * w * 0.04, fall * h * 1.1 - h * 0.05
        pen.line(((rx, ry), (rx - w * 0.004, ry + h * 0.05)), fill=(176, 192, 212), width=2)
    return picture


def lighthouse(moment, size):
    """A lighthouse at night, its beam turns, and waves break below. `moment` runs from 0 to 1."""
    w, h = size
    rng = random.Random(11)
    picture = gradient(size, (6, 10, 30), (34, 54, 96))
    pen = ImageDraw.Draw(picture)
    for _ in range(130):
        sx, sy, phase = rng.random() * w, rng.random() * h * 0.6, rng.random()
        bright = 130 + 110 * math.sin(2 * math.pi * (moment * 2 + phase))
        if bright > 60:
            ellipse(pen, sx, sy, 2.2, 2.2, (round(bright),) * 3)
    ellipse(pen, w * 0.2, h * 0.12, w * 0.07, w * 0.07, (238, 236, 214))
    ellipse(pen, w * 0.225, h * 0.112, w * 0.06, w * 0.06, (9, 15, 38))
    lx, ly = w * 0.62, h * 0.36
    turn = 2 * math.pi * moment * 1.5
    beams = []
    for side in (0, math.pi):
        reach, height = math.cos(turn + side) * w * 1.3, math.sin(turn + side) * h * 0.04
        spread = h * 0.055 * (0.3 + abs(math.cos(turn + side)))
        beams.append(
            (((lx, ly), (lx + reach, ly + height - spread), (lx + reach, ly + height + spread)), (255, 238, 170))
        )
    picture = glow(picture, beams, w * 0.016)
    pen = ImageDraw.Draw(picture)
    pen.polygon(
        (
            (w * 0.28, h * 0.83),
            (w * 0.42, h * 0.745),
            (w * 0.55, h * 0.725),
            (w * 0.78, h * 0.735),
            (w, h * 0.79),
            (w, h),
            (w * 0.24, h),
        ),
        fill=(22, 24, 34),
    )
    for band in range(6):
        top, bottom = ly + h * 0.03 + h * 0.06 * band, ly + h * 0.03 + h * 0.06 * (band + 1)
        a, b = w * (0.07 + 0.006 * band), w * (0.07 + 0.006 * (band + 1))
        colour = (206, 60, 56) if band % 2 else (236, 234, 226)
        pen.polygon(((lx - a, top), (lx + a, top), (lx + b, bottom), (lx - b, bottom)), fill=colour)
        pen.polygon(
            ((lx + a * 0.3, top), (lx + a, top), (lx + b, bottom), (lx + b * 0.3, bottom)),
            fill=mix(colour, (20, 20, 40), 0.4),
        )
    pen.rectangle((lx - w * 0.095, ly + h * 0.02, lx + w * 0.095, ly + h * 0.035), fill=(40, 42, 52))
    pen.rectangle((lx - w * 0.05, ly - h * 0.025, lx + w * 0.05, ly + h * 0.02), fill=(255, 240, 180))
    for post in (-0.05, -0.017, 0.017, 0.05):
        pen.line(((lx + w * post, ly - h * 0.025), (lx + w * post, ly + h * 0.02)), fill=(60, 50, 40), width=5)
    pen.pieslice((lx - w * 0.065, ly - h * 0.065, lx + w * 0.065, ly + h * 0.02), 180, 360, fill=(176, 46, 44))
    for layer in range(5):
        base, colour = h * (0.83 + 0.04 * layer), mix((36, 66, 110), (10, 20, 48), layer / 4)
        height, length = h * (0.008 + 0.004 * layer), w * (0.22 + 0.07 * layer)
        drift = (moment * (1 if layer % 2 else -1) * (1 + layer // 2)) * 2 * math.pi
        crest = [(x, base + math.sin(2 * math.pi * x / length + drift) * height) for x in range(0, w + 8, 8)]
        pen.polygon((*crest, (w, h), (0, h)), fill=colour)
        pen.line(crest, fill=mix(colour, (200, 220, 240), 0.45), width=4)
    for _ in range(40):
        phase = (moment * 3 + rng.random()) % 1
        sx = w * rng.uniform(0.25, 0.5)
        sy = h * 0.835 - math.sin(phase * math.pi) * h * rng.uniform(0.02, 0.09)
        ellipse(pen, sx + (phase - 0.5) * w * 0.06, sy, 4, 4, (214, 228, 240))
    return picture


SCENES = {
    "cat": ((640, 360), lambda number: (number / RATE * 2 / 2,), cat),
    "boat": ((640, 360), lambda number: (number / FRAMES,), boat),
    "lighthouse": ((360, 640), lambda number: (number / FRAMES,), lighthouse),
}


def draw(name):
    """Draw a scene and write its three files."""
    size, moment, paint = SCENES[name]
    drawn = (size[0] * SCALE, size[1] * SCALE)
    frames = [paint(*moment(number), drawn).resize(size, Image.Resampling.LANCZOS) for number in range(FRAMES)]
    options = {"crf": "32", "preset": "veryslow", "tune": "animation"}
    with av.open(DATA / f"{name}.mp4", "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
    frames[RATE].save(DATA / f"{name}-thumb.jpg", quality=72, optimize=True)
    frames[-1].save(DATA / f"{name}-last.jpg", quality=72, optimize=True)


if __name__ == "__main__":
    for scene in SCENES:
        draw(scene)
