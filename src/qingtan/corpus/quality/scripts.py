"""The scripts that letters belong to, and the Chinese characters that tell the times apart."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

# First and last code points of a script's blocks, and the language where only one is written in
# it (ISO 639-1); "" where a library has to decide. Blocks after Unicode's Blocks.txt.
SCRIPTS: dict[str, tuple[str, Sequence[tuple[int, int]]]] = {
    "latin": ("", [(0x41, 0x24F), (0x1E00, 0x1EFF), (0xFF21, 0xFF5A)]),
    "han": ("", [(0x3007, 0x3007), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)]),
    "kana": ("ja", [(0x3041, 0x309F), (0x30A1, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)]),
    "hangul": ("ko", [(0x1100, 0x11FF), (0x3131, 0x318E), (0xAC00, 0xD7FB)]),
    "cyrillic": ("", [(0x400, 0x52F), (0x1C80, 0x1C8F)]),
    "arabic": ("", [(0x620, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFEFC)]),
    "devanagari": ("", [(0x900, 0x97F)]),
    "bengali": ("", [(0x980, 0x9FF)]),
    "ethiopic": ("", [(0x1200, 0x139F)]),
    "mongolian": ("", [(0x1800, 0x18AF)]),
    "greek": ("el", [(0x370, 0x3FF), (0x1F00, 0x1FFF)]),
    "armenian": ("hy", [(0x530, 0x58F)]),
    "hebrew": ("he", [(0x5D0, 0x5F4)]),
    "gurmukhi": ("pa", [(0xA00, 0xA7F)]),
    "gujarati": ("gu", [(0xA80, 0xAFF)]),
    "oriya": ("or", [(0xB00, 0xB7F)]),
    "tamil": ("ta", [(0xB80, 0xBFF)]),
    "telugu": ("te", [(0xC00, 0xC7F)]),
    "kannada": ("kn", [(0xC80, 0xCFF)]),
    "malayalam": ("ml", [(0xD00, 0xD7F)]),
    "sinhala": ("si", [(0xD80, 0xDFF)]),
    "thai": ("th", [(0xE00, 0xE7F)]),
    "lao": ("lo", [(0xE80, 0xEFF)]),
    "tibetan": ("bo", [(0xF00, 0xFFF)]),
    "burmese": ("my", [(0x1000, 0x109F)]),
    "georgian": ("ka", [(0x10A0, 0x10FF), (0x1C90, 0x1CBF)]),
    "khmer": ("km", [(0x1780, 0x17FF)]),
}
NAMES = ("none", *SCRIPTS, "modern", "literary")
"""What a number of `script_table` stands for; "modern" and "literary" are Han, too."""
INDEX = {name: number for number, name in enumerate(NAMES)}

# Much commoner in modern Chinese, vernacular novels included, than in classics and poems: function
# words first, then what modern two-character words are made of. Simplified and traditional.
MODERN = (
    "的了们們个個这這您你他她它我是在和到很就都着著把被让讓给給对對会會能可要没沒说說想做吗嗎呢吧啊"
    "么麼什怎些那哪里裡样樣还還才只来來去得用从從等使该該条條"
    "件务務需现現单單设設器程提式组組项項理型码碼选選例包据據果区區查规規定装裝配管模置建部员員市业業"
)
# Much commoner in classics and poems: function words of the literary language, then what poems
# are about.
LITERARY = (
    "之曰矣焉哉乎而以于於亦皆乃汝吾尔爾兮夫岂豈遂則则谓謂犹猶莫欲故者也其盖蓋孰弗毋俟嗟"
    "唐春风風月秋山云雲宋花江寒无無歌归歸天君愁雨香玉南白阳陽夜千青帝黄州诗詩飞飛王烟煙朝水醉雪"
    "阴陰闲閒清草芳柳溪古枝暮汉漢酒尘塵寄碧居红紅叶葉皇梦夢岁歲深翠楼樓霜"
)


@cache
def script_table() -> NDArray[np.uint8]:
    """Return (0x110000,) uint8: the script of every letter as a number, 0 for all else."""
    table = np.zeros(0x110000, np.uint8)
    for name, (_, blocks) in SCRIPTS.items():
        for first, last in blocks:
            table[first : last + 1] = INDEX[name]
    for code in np.flatnonzero(table[:0x10000]):
        if not chr(code).isalpha() and code != 0x3007:  # the ideograph for zero
            table[code] = 0
    table[[ord(character) for character in MODERN]] = INDEX["modern"]
    table[[ord(character) for character in LITERARY]] = INDEX["literary"]
    return table
