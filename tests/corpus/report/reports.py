"""Reports made up for the tests."""

from qingtan.corpus.statistics import (
    Amount,
    Changed,
    CorpusReport,
    EvaluationStatistics,
    Histogram,
    RuleStatistics,
    Sample,
    SourceStatistics,
)


def amount(documents: int, size: int) -> Amount:
    return Amount(documents=documents, characters=size // 3, bytes=size)


def poems() -> SourceStatistics:
    """A source that passed every step."""
    return SourceStatistics(
        name="poems",
        kind="text",
        read=amount(1234, 12_345_678),
        rejected=17,
        excluded=5,
        after={
            "read": amount(1234, 12_345_678),
            "clean": amount(1234, 12_300_000),
            "language": amount(1230, 12_200_000),
            "quality": amount(1200, 12_000_000),
            "decontamination": amount(1199, 11_900_000),
            "exact-duplicates": amount(1150, 11_500_000),
            "near-duplicates": amount(1000, 9_000_000),
            "encode": amount(1000, 9_000_000),
        },
        rules={
            "max_symbol_share": RuleStatistics(step="quality", dropped=amount(29, 199_000)),
            "own_rule": RuleStatistics(step="quality", dropped=amount(1, 1000)),
            "never": RuleStatistics(step="quality"),
            "near-duplicate": RuleStatistics(
                step="near-duplicates", dropped=amount(150, 2_500_000)
            ),
        },
        changed={"unicode": Changed(documents=321, characters_before=5000, characters_after=4321)},
        masked={"email": 7, "odd_kind": 2},
        languages={"zh": 1000, "lzh": 230, "xx": 4},
        histograms={"characters": Histogram(edges=[1, 10, 100, 20000], counts=[1, 900, 333])},
        tokens=2_000_000,
        trained_tokens=1_900_000,
        epochs=2.5,
    )


def chats() -> SourceStatistics:
    """A source that passed few steps."""
    return SourceStatistics(
        name="chats",
        kind="conversations",
        read=amount(50, 60_000),
        after={"read": amount(50, 60_000), "exact-duplicates": amount(48, 54_000)},
        rules={"exact-duplicate": RuleStatistics(step="exact-duplicates", dropped=amount(2, 6000))},
        histograms={"characters": Histogram(edges=[1, 10, 100, 20000], counts=[0, 44, 6])},
        tokens=18_000,
        trained_tokens=9_000,
    )


def sample(text: str, **fields: object) -> Sample:
    values = {"source": "poems", "file": "tang/a.jsonl", "line": 77, "text": text, **fields}
    return Sample.model_validate(values)


def small_report() -> CorpusReport:
    """Two sources, and something in every section."""
    return CorpusReport(
        sources=[poems(), chats()],
        evaluation=[
            EvaluationStatistics(
                name="exams", items=13_482, short_items=211, dropped=amount(1, 100_000)
            )
        ],
        samples={
            "max_symbol_share": [sample("※※※※", value=0.4217, threshold=0.3)],
            "own_rule": [sample("短", value=1, threshold=30)],
            "near-duplicate": [sample("甲乙丙丁", after="甲乙戊丁", value=0.9, threshold=0.8)],
            "unicode": [sample("全角Ａ\u200b字", after="全角A字")],
        },
        vocab_size=64_000,
        shards=12,
    )
