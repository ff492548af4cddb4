"""Any sequence of puts and removals, against a model that is a dictionary."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qingtan.errors import NotFound, UserError
from qingtan.knowledge.store import open_store
from qingtan.knowledge.store.interface import Store

from .samples import put, texts

NAMES = st.sampled_from(["甲.txt", "乙/丙.md", "x", "X"])
BASES = st.sampled_from(["kb", "kb2"])
WORDS = ["客服", "退货", "发票", "保修"]
LINES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3), max_size=4)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store = self.open()
        self.model: dict[str, dict[str, list[str]]] = {}

    def open(self) -> Store:
        return open_store(Path(self.folder.name) / "kb.db")

    @rule(base=BASES)
    def create(self, base: str) -> None:
        if base in self.model:
            try:
                self.store.create_base("t", base)
            except UserError:
                return
            raise AssertionError
        self.store.create_base("t", base)
        self.model[base] = {}

    @rule(base=BASES, name=NAMES, lines=LINES)
    def put(self, base: str, name: str, lines: list[list[str]]) -> None:
        if base in self.model:
            self.model[base][name] = ["，".join(line) for line in lines]
            put(self.store, self.store.base("t", base), name, *self.model[base][name])

    @rule(base=BASES, name=NAMES)
    def remove(self, base: str, name: str) -> None:
        if base not in self.model:
            return
        stored = self.store.document_named(self.store.base("t", base), name)
        assert (stored is None) == (name not in self.model[base])
        if stored:
            self.store.remove_document(self.store.base("t", base), stored.id)
            del self.model[base][name]

    @rule(base=BASES)
    def remove_base(self, base: str) -> None:
        try:
            self.store.remove_base(self.store.base("t", base))
        except NotFound:
            assert base not in self.model
        else:
            del self.model[base]

    @rule(base=BASES)
    def set_words(self, base: str) -> None:
        if base in self.model:
            self.store.set_words(self.store.base("t", base), ["发票保修"])

    @precondition(lambda self: self.model)
    @rule(word=st.sampled_from(WORDS))
    def search(self, word: str) -> None:
        found = self.store.search_words(self.store.bases("t"), word, 999)
        lines = [line for base in self.model.values() for part in base.values() for line in part]
        assert sorted(texts(found)) == sorted(line for line in lines if word in line)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    @invariant()
    def all_is_there(self) -> None:
        bases = self.store.bases("t")
        assert [base.name for base in bases] == sorted(self.model)
        for base in bases:
            documents = self.store.documents(base)
            model = self.model[base.name]
            assert [document.name for document in documents] == sorted(model)
            for document in documents:
                lines = [each.chunk.text for each in self.store.chunks(base, document.id)]
                assert lines == model[document.name]
            assert (base.documents, base.chunks) == (len(model), sum(map(len, model.values())))

    def teardown(self) -> None:
        assert self.store.check() == []
        self.store.close()
        self.folder.cleanup()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=20, stateful_step_count=25)
