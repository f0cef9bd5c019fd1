"""The source's own transform of a picture, with the one thing in it that no image processor can be told.

torchvision's CenterCrop rounds the half pixel of an odd remainder to even, transformers' processors (all classes, both versions)
round it down. The two part where the remainder is 3 mod 4: the crop sits one pixel further left or up. There, and only there,
the reference crops as transformers does; whatever else differs still shows.
"""
from torchvision.transforms import CenterCrop
from torchvision.transforms import functional


class TransformersCrop:
    def __init__(self, crop):
        self.crop = crop
        self.height, self.width = crop.size if not isinstance(crop.size, int) else (crop.size, crop.size)

    def __call__(self, picture):
        above, beside = picture.height - self.height, picture.width - self.width
        if above % 4 != 3 and beside % 4 != 3:
            return self.crop(picture)
        return functional.crop(picture, above // 2, beside // 2, self.height, self.width)


def reference(transform, picture):
    """`transform` (a torchvision Compose) of a PIL picture, as a float32 array of channels, height, width."""
    for step in transform.transforms:
        picture = TransformersCrop(step)(picture) if isinstance(step, CenterCrop) else step(picture)
    return picture.numpy()
