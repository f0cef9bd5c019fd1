"""The source's own transform of an image, with the one difference that no image processor can express.

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

    def __call__(self, image):
        rows, columns = image.height - self.height, image.width - self.width
        if rows % 4 != 3 and columns % 4 != 3:
            return self.crop(image)
        return functional.crop(image, rows // 2, columns // 2, self.height, self.width)


def reference(transform, image):
    """`transform` (a torchvision Compose) of a PIL image, as a float32 array of channels, height, width."""
    for step in transform.transforms:
        image = TransformersCrop(step)(image) if isinstance(step, CenterCrop) else step(image)
    return image.numpy()
