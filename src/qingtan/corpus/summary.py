"""What this room prints when it is done."""

from pathlib import Path

from qingtan.corpus.report.write import PAGE_FILE
from qingtan.corpus.statistics import CorpusReport, SourceStatistics
from qingtan.i18n import tr


def print_corpus(output: Path, report: CorpusReport) -> None:
    """Print what became of each source, and the corpus in all."""
    rows = [f"  {source.name}: {_figures(source)}" for source in report.sources]
    documents = sum(source.after["encode"].documents for source in report.sources)
    tokens = sum(source.tokens for source in report.sources)
    total = tr(
        f"{output}: {documents:,} documents, {tokens:,} tokens, {report.shards} shards; "
        f"what became of the rest: {output / PAGE_FILE}",
        f"{output}：{documents:,} 篇，{tokens:,} 个词元，{report.shards} 个分片；"
        f"其余去向见 {output / PAGE_FILE}",
    )
    print("\n".join([*rows, total]))


def _figures(source: SourceStatistics) -> str:
    kept, read = source.after["encode"], source.read.documents
    characters = kept.characters / max(source.tokens, 1)
    share = kept.documents / max(read, 1)
    return tr(
        f"{kept.documents:,} of {read:,} documents ({share:.1%}), {source.tokens:,} tokens, "
        f"{characters:.2f} characters per token; rejected {source.rejected:,}, "
        f"excluded {source.excluded:,}",
        f"{read:,} 篇中留下 {kept.documents:,} 篇（{share:.1%}），{source.tokens:,} 个词元，"
        f"每词元 {characters:.2f} 字；弃用 {source.rejected:,}，排除 {source.excluded:,}",
    )
