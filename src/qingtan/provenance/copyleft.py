"""Licences that ask for the same licence on what is made from the text."""

from collections.abc import Iterable

from qingtan.provenance.family import YES, Terms, on_condition, versions


def later(names: Iterable[str], beside: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Let an adaptation be shared under its licence or a later one of the list."""
    names = tuple(names)
    return {name: (*names[i:], *beside) for i, name in enumerate(names)}


_GPL_3 = ("GPL-3.0-only", "AGPL-3.0-only")
_GPL_2_AND_3 = ("GPL-2.0-only", *_GPL_3)
_LGPL = ("LGPL-2.1-only", "LGPL-3.0-only", *_GPL_2_AND_3)
_LGPL_3 = ("LGPL-3.0-only", *_GPL_3)
_BY_SA = versions("CC-BY-SA", "2.0 2.5 3.0 4.0")

COPYLEFT: tuple[Terms, ...] = (
    Terms(
        name="CC BY-SA",
        category="share-alike",
        licences=("CC-BY-SA-1.0", *_BY_SA, "LicenseRef-CC-BY-SA"),
        commercial=YES,
        research=YES,
        redistribute=on_condition("attribution", "state-changes", "share-alike"),
        explanation=(
            "As CC BY; and whoever shares an adaptation puts it under the same licence, a later "
            "version, or one that Creative Commons names as compatible (from 4.0: GPL-3.0).",
            "同 CC BY；分享改编作品须采用同一许可证、其更高版本或知识共享认可的兼容许可证"
            "（4.0 起含 GPL-3.0）。",
        ),
        adaptations={
            "CC-BY-SA-1.0": ("CC-BY-SA-1.0",),
            **later(_BY_SA, beside=("GPL-3.0-only",)),
        },
    ),
    Terms(
        name="GPL",
        category="share-alike",
        licences=(
            *("GPL-1.0-only", "GPL-1.0-or-later", "GPL-2.0-only", "GPL-2.0-or-later"),
            *("GPL-3.0-only", "GPL-3.0-or-later", "LicenseRef-GPL"),
        ),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text", "state-changes", "share-alike", "source"),
        explanation=(
            "Use is free; whoever hands on a copy gives its source, and a work based on it goes "
            "under the same GPL as a whole.",
            "使用不受限；分发副本须提供源文件，基于它的作品整体须采用同一 GPL。",
        ),
        adaptations={
            "GPL-1.0-only": ("GPL-1.0-only",),
            "GPL-1.0-or-later": ("GPL-1.0-only", *_GPL_2_AND_3),
            "GPL-2.0-only": ("GPL-2.0-only",),
            "GPL-2.0-or-later": _GPL_2_AND_3,
            "GPL-3.0-only": _GPL_3,
            "GPL-3.0-or-later": _GPL_3,
        },
    ),
    Terms(
        name="Weak copyleft (LGPL, MPL, EPL)",
        category="share-alike",
        licences=(
            *("LGPL-2.0-only", "LGPL-2.0-or-later", "LGPL-2.1-only", "LGPL-2.1-or-later"),
            *("LGPL-3.0-only", "LGPL-3.0-or-later", "LicenseRef-LGPL"),
            *("MPL-1.1", "MPL-2.0", "EPL-1.0", "EPL-2.0"),
        ),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text", "share-alike", "source"),
        explanation=(
            "Use is free; its own files, changed or not, are handed on under the same licence with "
            "their source, what stands beside them is not bound.",
            "使用不受限；其自身文件（无论是否修改）须以同一许可证连同源文件分发，"
            "与之并列的部分不受约束。",
        ),
        adaptations={
            "LGPL-2.0-only": ("LGPL-2.0-only", *_GPL_2_AND_3),
            "LGPL-2.0-or-later": ("LGPL-2.0-only", *_LGPL),
            "LGPL-2.1-only": ("LGPL-2.1-only", *_GPL_2_AND_3),
            "LGPL-2.1-or-later": _LGPL,
            "LGPL-3.0-only": _LGPL_3,
            "LGPL-3.0-or-later": _LGPL_3,
            "MPL-1.1": ("MPL-1.1", "MPL-2.0"),
            "MPL-2.0": ("MPL-2.0", *_LGPL),
            "EPL-1.0": ("EPL-1.0", "EPL-2.0"),
            "EPL-2.0": ("EPL-2.0",),
        },
    ),
    Terms(
        name="AGPL",
        category="share-alike",
        licences=("AGPL-3.0-only", "AGPL-3.0-or-later", "LicenseRef-AGPL"),
        commercial=on_condition("network-source"),
        research=YES,
        redistribute=on_condition("licence-text", "state-changes", "share-alike", "source"),
        explanation=(
            "As the GPL; and those who use a changed version over a network can have its source.",
            "同 GPL；且通过网络使用修改版的人有权获得其源文件。",
        ),
        adaptations={
            "AGPL-3.0-only": ("AGPL-3.0-only",),
            "AGPL-3.0-or-later": ("AGPL-3.0-only",),
        },
    ),
    Terms(
        name="GNU Free Documentation License",
        category="share-alike",
        licences=(
            *(f"GFDL-1.{minor}-{kind}" for minor in (1, 2, 3) for kind in ("only", "or-later")),
            "LicenseRef-GFDL",
        ),
        commercial=YES,
        research=YES,
        redistribute=on_condition(
            "attribution", "licence-text", "state-changes", "share-alike", "source"
        ),
        explanation=(
            "For manuals: copies carry the licence and the history of changes; changed versions "
            "stay under it, and sections marked invariant stay as they are.",
            "用于手册：副本须附许可证与修改历史；修改版须沿用本许可证，标为不可变的章节不得改动。",
        ),
        adaptations={
            f"GFDL-1.{minor}-{kind}": tuple(
                f"GFDL-1.{later}-only"
                for later in range(minor, 4 if kind == "or-later" else minor + 1)
            )
            for minor in (1, 2, 3)
            for kind in ("only", "or-later")
        },
    ),
    Terms(
        name="Open Database License",
        category="share-alike",
        licences=("ODbL-1.0",),
        commercial=on_condition("notices"),
        research=on_condition("notices"),
        redistribute=on_condition("licence-text", "notices", "share-alike"),
        explanation=(
            "For databases: what was produced from it names it where it is made public, and a "
            "derived database that is used publicly goes under the same licence.",
            "用于数据库：公开由其产生的成果须注明来源；公开使用的衍生数据库须采用同一许可证。",
        ),
        adaptations={"ODbL-1.0": ("ODbL-1.0",)},
    ),
    Terms(
        name="SIL Open Font License",
        category="share-alike",
        licences=("OFL-1.0", "OFL-1.1", "OFL-1.1-RFN", "OFL-1.1-no-RFN"),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text", "share-alike"),
        explanation=(
            "For fonts: free in any work, not to be sold by themselves; changed fonts stay under "
            "it, with another name where names are reserved.",
            "用于字体：可用于任何作品，不得单独出售；修改后的字体须沿用本许可证，保留名称的须改名。",
        ),
        adaptations={
            "OFL-1.0": ("OFL-1.0",),
            **dict.fromkeys(("OFL-1.1", "OFL-1.1-RFN", "OFL-1.1-no-RFN"), ("OFL-1.1",)),
        },
    ),
)
