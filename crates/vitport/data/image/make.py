"""Paints harbour.png, the image that vitport verifies with when it is given none.

Everything in it is computed here: clouds and water are sums of noise at several scales, so that the spectrum falls off as
that of a photograph does; houses, masts and a sun add edges, corners, text-like detail and saturated colours. It is wider
than high, so that cropping and squashing give different pixels, and its four corners differ, so that flips show.

    python make.py        # numpy 2, pillow 13; writes the same bytes every time
"""

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 400, 300
random = np.random.default_rng(20260930)


def noise(height, width, scale):
    """Smooth noise in 0..1 whose features are `scale` pixels wide."""
    small = random.random((max(2, height // scale + 2), max(2, width // scale + 2)))
    canvas = Image.fromarray((small * 255).astype(np.uint8)).resize((width, height), Image.BICUBIC)
    return np.asarray(canvas, dtype=np.float64) / 255


def fractal(height, width):
    """Noise at scales 64, 32, …, 2, each half as strong as the one before."""
    scales = [64, 32, 16, 8, 4, 2]
    weights = [0.5**level for level in range(len(scales))]
    layers = [weight * noise(height, width, scale) for weight, scale in zip(weights, scales)]
    return sum(layers) / sum(weights)


def blend(low, high, share):
    """From colour `low` to colour `high`, pixel by pixel."""
    low, high = np.array(low, float), np.array(high, float)
    return low + (high - low) * share[..., None]


horizon = 170
sky_share = np.linspace(0, 1, horizon)[:, None] * np.ones((1, WIDTH))
sky = blend((52, 92, 158), (246, 200, 150), sky_share)
clouds = np.clip((fractal(horizon, WIDTH) - 0.48) * 5, 0, 1)
sky = sky * (1 - 0.75 * clouds[..., None]) + np.array([250, 244, 238]) * 0.75 * clouds[..., None]

water_height = HEIGHT - horizon
ripples = np.sin(np.arange(water_height)[:, None] ** 1.35 / 2.1 + 7 * fractal(water_height, WIDTH))
water = blend((18, 52, 74), (120, 168, 170), 0.5 + 0.32 * ripples + 0.18 * (fractal(water_height, WIDTH) - 0.5))
canvas = np.concatenate([sky, water])

image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
draw = ImageDraw.Draw(image)
draw.ellipse((306, 40, 346, 80), fill=(255, 226, 120))
hills = 150 + 26 * np.sin(np.arange(WIDTH) / 61) - 34 * noise(1, WIDTH, 50)[0]
draw.polygon([(0, horizon), *((x, float(y)) for x, y in enumerate(hills)), (WIDTH, horizon)], fill=(58, 88, 70))

colours = [(178, 58, 48), (224, 178, 84), (70, 104, 146), (208, 204, 190), (120, 62, 92)]
left = 8
for number in range(9):
    width, height = int(random.integers(22, 42)), int(random.integers(34, 74))
    top = horizon + 6 - height
    draw.rectangle((left, top, left + width, horizon + 6), fill=colours[number % len(colours)])
    draw.polygon([(left - 2, top), (left + width // 2, top - 16), (left + width + 2, top)], fill=(88, 46, 40))
    for row in range(top + 6, horizon - 4, 12):
        for column in range(left + 4, left + width - 6, 10):
            lit = random.random() < 0.5
            draw.rectangle((column, row, column + 4, row + 6), fill=(255, 236, 160) if lit else (34, 40, 54))
    left += width + int(random.integers(0, 8))

for mast, hull in [(70, (170, 34, 40)), (188, (240, 240, 232)), (322, (30, 80, 60))]:
    base = horizon + 70 + (mast * 7) % 30
    draw.polygon([(mast - 34, base), (mast + 38, base), (mast + 26, base + 16), (mast - 26, base + 16)], fill=hull)
    draw.line((mast, base, mast, base - 84), fill=(64, 44, 30), width=3)
    draw.polygon([(mast + 3, base - 80), (mast + 3, base - 10), (mast + 34, base - 12)], fill=(236, 226, 204))
    for step in range(6):
        draw.line((mast - 24 + 9 * step, base + 3, mast - 24 + 9 * step, base + 12), fill=(12, 14, 18))
draw.rectangle((0, 262, 120, 299), fill=(96, 82, 70))
for plank in range(0, 120, 9):
    draw.line((plank, 262, plank - 8, 299), fill=(52, 42, 36), width=2)
draw.rectangle((352, 236, 392, 292), outline=(220, 220, 90), width=3)
for cell in range(16):
    dark = (cell + cell // 4) % 2 == 0
    x, y = 356 + 8 * (cell % 4), 240 + 12 * (cell // 4)
    draw.rectangle((x, y, x + 7, y + 11), fill=(20, 20, 24) if dark else (232, 232, 236))

grain = random.normal(0, 2.5, (HEIGHT, WIDTH, 3))
pixels = np.clip(np.asarray(image, dtype=np.float64) + grain, 0, 255).astype(np.uint8)
Image.fromarray(pixels).save("harbour.png", optimize=True)
