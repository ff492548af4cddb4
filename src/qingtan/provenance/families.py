"""The table of licences: what each family asks, by the texts of the licences themselves.

"commercial" and "research" are uses that hand nothing on; most obligations begin with handing on.
Here stand the licences that bind what is made from the text to nothing but credit; `copyleft` has
those that ask for the same licence, `restricted` those that forbid uses.
"""

from qingtan.provenance.copyleft import COPYLEFT
from qingtan.provenance.family import UNKNOWN, YES, Terms, on_condition, versions
from qingtan.provenance.restricted import RESTRICTED

FREE: tuple[Terms, ...] = (
    Terms(
        name="Public domain",
        category="public domain",
        licences=("LicenseRef-Public-Domain",),
        commercial=YES,
        research=YES,
        redistribute=YES,
        explanation=(
            "Said to be under no copyright. The term differs by country: in mainland China it is "
            "the author's life and fifty years.",
            "据称不受著作权保护。保护期各国不同：中国大陆为作者终生及其死后五十年。",
        ),
    ),
    Terms(
        name="Official texts (PRC Copyright Law, article 5)",
        category="public domain",
        licences=("LicenseRef-Public-Domain-CN-Art5",),
        commercial=YES,
        research=YES,
        redistribute=YES,
        explanation=(
            "Laws, regulations and other official documents, which China's Copyright Law does not "
            "protect; compilations and translations of others may be protected, and other "
            "countries have their own rules.",
            "法律、法规等官方文件，不适用中国著作权法；他人的汇编与译文可能受保护，"
            "其他国家另有规定。",
        ),
    ),
    Terms(
        name="Dedicated to the public",
        category="public domain",
        licences=("CC0-1.0", "PDDL-1.0", "Unlicense", "0BSD", "MIT-0", "WTFPL"),
        commercial=YES,
        research=YES,
        redistribute=YES,
        explanation=(
            "The authors gave up their rights as far as the law lets them, or ask for nothing.",
            "作者在法律允许的范围内放弃权利，或不提任何要求。",
        ),
    ),
    Terms(
        name="MIT, BSD and the like",
        category="permissive",
        licences=(
            *("MIT", "ISC", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "LicenseRef-BSD"),
            *("BSD-3-Clause-Clear", "X11", "MIT-CMU", "HPND", "NCSA", "PostgreSQL", "BSL-1.0"),
        ),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text"),
        explanation=(
            "Do as you like; copies keep the copyright line and the text of the licence.",
            "可自由使用；副本须保留版权声明与许可证文本。",
        ),
    ),
    Terms(
        name="Zlib",
        category="permissive",
        licences=("Zlib",),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text", "state-changes"),
        explanation=(
            "Do as you like; the notice stays, and changed versions say that they are.",
            "可自由使用；须保留声明，修改版须注明已修改。",
        ),
    ),
    Terms(
        name="Python",
        category="permissive",
        licences=("PSF-2.0", "Python-2.0", "Python-2.0.1", "CNRI-Python"),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text", "state-changes"),
        explanation=(
            "Do as you like; copies keep the licence, and changed ones a summary of the changes.",
            "可自由使用；副本须保留许可证，修改版须附修改摘要。",
        ),
    ),
    Terms(
        name="Apache",
        category="permissive",
        licences=("Apache-2.0", "LicenseRef-Apache"),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text", "notices", "state-changes"),
        explanation=(
            "Do as you like; copies carry the licence and the NOTICE file, changed files say so.",
            "可自由使用；副本须附许可证与 NOTICE 文件，修改过的文件须注明。",
        ),
    ),
    Terms(
        name="Mulan PSL",
        category="permissive",
        licences=("MulanPSL-1.0", "MulanPSL-2.0"),
        commercial=YES,
        research=YES,
        redistribute=on_condition("licence-text", "notices"),
        explanation=(
            "Do as you like; copies carry the licence and keep the notices.",
            "可自由使用；副本须附许可证并保留声明。",
        ),
    ),
    Terms(
        name="Open Data Commons Attribution",
        category="attribution",
        licences=("ODC-By-1.0",),
        commercial=on_condition("notices"),
        research=on_condition("notices"),
        redistribute=on_condition("licence-text", "notices"),
        explanation=(
            "For databases: name the licence where it or what was produced from it is made public. "
            "The contents may have licences of their own.",
            "用于数据库：公开该数据库或由其产生的成果时须注明许可证。其中内容可能另有许可。",
        ),
    ),
    Terms(
        name="CC BY",
        category="attribution",
        licences=(*versions("CC-BY", "1.0 2.0 2.5 3.0 4.0"), "LicenseRef-CC-BY", "etalab-2.0"),
        commercial=YES,
        research=YES,
        redistribute=on_condition("attribution", "state-changes"),
        explanation=(
            "Do as you like; whoever shares it names the authors, links to the licence and says "
            "what was changed.",
            "可自由使用；分享时须署名、给出许可证链接并说明修改。",
        ),
    ),
)
FAMILIES = (*FREE, *COPYLEFT, *RESTRICTED)


NOT_STATED = Terms(
    name="Licence not stated",
    category="unknown",
    licences=(),
    commercial=UNKNOWN,
    research=UNKNOWN,
    redistribute=UNKNOWN,
    explanation=("Nobody says under which licence it is.", "没有说明采用何种许可证。"),
)
NOT_RECOGNISED = Terms(
    name="Licence not recognised",
    category="unknown",
    licences=(),
    commercial=UNKNOWN,
    research=UNKNOWN,
    redistribute=UNKNOWN,
    explanation=(
        "The words given for its licence name none that is known here.",
        "所给的许可证说法无法对应到已知的许可证。",
    ),
)
NOT_IN_TABLE = Terms(
    name="Licence not in the table",
    category="unknown",
    licences=(),
    commercial=UNKNOWN,
    research=UNKNOWN,
    redistribute=UNKNOWN,
    explanation=(
        "A licence of SPDX's list whose terms are not entered here.",
        "属于 SPDX 列表的许可证，但此处尚未收录其条款。",
    ),
)
