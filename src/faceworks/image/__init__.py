"""Pictures: reading, writing, hashing, resampling.

`load` turns whatever the user has into the one picture format, `(H, W, 3)` uint8 RGB, or raises one `ImageError` that names the input. Its rules:

- **Orientation**: EXIF tag 274 is applied (1 to 8; anything else, or a broken EXIF block, counts as upright); one in XMP is not.
- **Transparency** is composited over white: the page that viewers and printers put behind a picture, and the ground of most cut-out portraits.
- **16 bit** values are scaled by 255/65535 over the whole range (never stretched to the content); of 16-bit *color* files Pillow takes the high
  byte, which differs by at most 1. **Gray** is repeated in three channels. **CMYK** is read as Pillow does: JPEG values inverted, as Adobe writes.
- **ICC profiles** are ignored: pixels are the numbers in the file, as in the pictures that networks were trained on.
- **Animations** give their first frame, multi-page TIFF its first page.
- **Limits** on bytes and pixels (`settings`) are checked against the header before anything is decoded, and so is whether the header can be true.
- **No URL is ever fetched**, and nothing but a regular file is ever opened.

- **Damage**: a file that ends early, contradicts its own header or fails a checksum is refused. Wrong bits *inside* a complete JPEG cannot be told
  from a picture; they are decoded as every viewer decodes them.

JPEG goes to OpenCV (faster than Pillow, same pixels), the rest to the Pillow class for its signature, called directly: so neither Pillow's
process-wide limits nor its warnings decide, and formats that run other programs (EPS, WMF) cannot be reached.
"""

from __future__ import annotations

from .reading import Source, content_hash, describe, load
from .resampling import halved, resize, warp
from .writing import save

__all__ = ["Source", "content_hash", "describe", "halved", "load", "resize", "save", "warp"]
