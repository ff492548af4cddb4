"""Licences that forbid some uses, or ask for more than credit and the same licence."""

from qingtan.provenance.copyleft import later
from qingtan.provenance.family import NO, Terms, on_condition, versions

_BY_NC_SA = versions("CC-BY-NC-SA", "2.0 2.5 3.0 4.0")

RESTRICTED: tuple[Terms, ...] = (
    Terms(
        name="CC BY-NC",
        category="non-commercial",
        licences=(*versions("CC-BY-NC", "1.0 2.0 2.5 3.0 4.0"), "LicenseRef-CC-BY-NC"),
        commercial=NO,
        research=on_condition("non-commercial"),
        redistribute=on_condition("attribution", "state-changes", "non-commercial"),
        explanation=(
            "As CC BY, but not for commercial advantage or payment.",
            "同 CC BY，但不得用于商业目的或获取报酬。",
        ),
    ),
    Terms(
        name="CC BY-NC-SA",
        category="non-commercial",
        licences=("CC-BY-NC-SA-1.0", *_BY_NC_SA, "LicenseRef-CC-BY-NC-SA"),
        commercial=NO,
        research=on_condition("non-commercial"),
        redistribute=on_condition("attribution", "state-changes", "share-alike", "non-commercial"),
        explanation=(
            "As CC BY-SA, but not for commercial advantage or payment.",
            "同 CC BY-SA，但不得用于商业目的或获取报酬。",
        ),
        adaptations={"CC-BY-NC-SA-1.0": ("CC-BY-NC-SA-1.0",), **later(_BY_NC_SA)},
    ),
    Terms(
        name="CC BY-ND",
        category="no-derivatives",
        licences=(*versions("CC-BY-ND", "1.0 2.0 2.5 3.0 4.0"), "LicenseRef-CC-BY-ND"),
        commercial=on_condition("unmodified"),
        research=on_condition("unmodified"),
        redistribute=NO,
        explanation=(
            "Adaptations must not be shared (before 4.0: not made). A cleaned, cut or encoded "
            "text is taken for an adaptation here.",
            "改编作品不得分享（4.0 之前不得改编）。此处将清洗、截取或编码后的文本视为改编。",
        ),
    ),
    Terms(
        name="CC BY-NC-ND",
        category="no-derivatives",
        licences=(
            *versions("CC-BY-NC-ND", "2.0 2.5 3.0 4.0"),
            *("CC-BY-NC-ND-1.0", "LicenseRef-CC-BY-NC-ND"),
        ),
        commercial=NO,
        research=on_condition("non-commercial", "unmodified"),
        redistribute=NO,
        explanation=(
            "As CC BY-ND, and not for commercial advantage or payment.",
            "同 CC BY-ND，且不得用于商业目的或获取报酬。",
        ),
    ),
    Terms(
        name="ChatGLM2-6B and ChatGLM3-6B weights",
        category="custom",
        licences=("LicenseRef-ChatGLM3", "LicenseRef-ChatGLM2"),
        commercial=on_condition("registration", "use-restrictions"),
        research=on_condition("use-restrictions"),
        redistribute=on_condition("licence-text", "use-restrictions", "not-transferable"),
        explanation=(
            "Free for academic research; free for commerce after registration with Zhipu AI "
            "(https://open.bigmodel.cn/mla/form). Not transferable, not sublicensable, revocable; "
            "copies carry the licence; no military or unlawful use.",
            "学术研究免费；商用须先向智谱登记（https://open.bigmodel.cn/mla/form），登记后免费。"
            "不可转让、不可再许可、可撤销；副本须附许可证；不得用于军事或非法目的。",
        ),
    ),
    Terms(
        name="GLM-4-9B weights",
        category="custom",
        licences=("LicenseRef-GLM-4",),
        commercial=on_condition("registration", "use-restrictions", "naming"),
        research=on_condition("use-restrictions"),
        redistribute=on_condition("licence-text", "use-restrictions", "naming", "not-transferable"),
        explanation=(
            'As for ChatGLM3-6B; products show "Built with glm-4", and models made with it have '
            'names that begin with "glm-4".',
            "同 ChatGLM3-6B；产品须标明“Built with glm-4”，由其得到的模型名称须以“glm-4”开头。",
        ),
    ),
    Terms(
        name="OpenRAIL",
        category="custom",
        licences=("LicenseRef-OpenRAIL",),
        commercial=on_condition("use-restrictions", "read"),
        research=on_condition("use-restrictions", "read"),
        redistribute=on_condition("licence-text", "state-changes", "use-restrictions", "read"),
        explanation=(
            "Open for any purpose but those that its attachment lists; the same restrictions bind "
            "whoever receives the model or one derived from it.",
            "除附件所列用途外均可使用；接收该模型或其衍生模型的人受同样限制。",
        ),
    ),
    Terms(
        name="Publishers' own model licences",
        category="custom",
        licences=("LicenseRef-Llama", "LicenseRef-Gemma", "LicenseRef-Tongyi-Qianwen"),
        commercial=on_condition("use-restrictions", "read"),
        research=on_condition("use-restrictions", "read"),
        redistribute=on_condition("licence-text", "use-restrictions", "naming", "read"),
        explanation=(
            "The publisher's own words, which differ by version: they may limit the number of "
            "users, training other models on the output, and names. Read the licence.",
            "由发布者自拟，各版本不同：可能限制用户规模、用其输出训练其他模型以及命名。请阅读原文。",
        ),
    ),
    Terms(
        name="All rights reserved",
        category="proprietary",
        licences=("LicenseRef-Proprietary",),
        commercial=NO,
        research=NO,
        redistribute=NO,
        explanation=("The holder allows nothing by itself.", "权利人未作任何许可。"),
    ),
)
