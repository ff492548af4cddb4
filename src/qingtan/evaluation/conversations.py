"""Ten conversations as a newcomer would have them, so that people can read what a model says."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from qingtan.chat import ChatGLM
from qingtan.engine.answer import last
from qingtan.engine.events import ContextExceeded
from qingtan.evaluation.results import Conversation
from qingtan.prompts import answers, texts

# The most tokens of an answer.
MAX_TOKENS = 256

# What the user says, turn by turn.
CONVERSATIONS: tuple[tuple[str, ...], ...] = (
    ("你好！",),
    ("你是谁？你能帮我做什么？",),
    (texts.poem("五言绝句", "秋夜望月"),),
    (texts.to_english("图书馆每周一闭馆，其余时间早上九点开门。"),),
    (
        texts.to_chinese(
            "Save your work before you close the window, or your changes will be lost."
        ),
    ),
    (
        answers.answer_from_passages(
            "石桥是哪一年重修的？",
            (
                "青溪镇位于两条小河的交汇处，镇上有六条老街，居民多以制茶为业。",
                "镇口的石桥长三十米，始建于一七八二年，一九三六年由当地商会出资重修。",
            ),
        ),
    ),
    (
        answers.answer_customer(
            "请问你们几点关门？",
            "名称：竹里茶馆\n地址：青溪镇东街18号\n电话：0571-88880018\n营业时间：09:00-21:30\n人均消费：45元",
        ),
    ),
    (
        texts.summary(
            "本周六，青溪镇举办了第一届春茶节。镇上的二十多家茶园带来了今年的新茶，"
            "来自周边城市的三千多名游客品茶、学做茶点，还观看了采茶比赛。"
            "镇里的负责人说，活动当天茶叶的销售额超过了五十万元，以后每年春天都会举办。"
        ),
    ),
    ("周末我想去爬山，需要带些什么？", "如果那天下雨呢？"),
    ("明天我家楼下的超市几点开门？",),
)


def hold_conversations(model: ChatGLM, seed: int) -> tuple[Conversation, ...]:
    """Have all conversations with the model's default decoding, side by side.

    Args:
        seed: the evaluation's; with the same one the model says the same.
    """
    seeds = range(seed * len(CONVERSATIONS), (seed + 1) * len(CONVERSATIONS))
    with ThreadPoolExecutor(len(CONVERSATIONS)) as pool:
        return tuple(pool.map(lambda said, own: _hold(model, said, own), CONVERSATIONS, seeds))


def _hold(model: ChatGLM, said: Sequence[str], seed: int) -> Conversation:
    messages: list[dict[str, str]] = []
    ended = False
    for text in said:
        messages.append({"role": "user", "content": text})
        try:
            answer = last(model.stream_chat(messages, max_tokens=MAX_TOKENS, seed=seed))
        except ContextExceeded:  # the user's last words stay without an answer
            return Conversation(messages=tuple(messages), ended=False)
        messages.append({"role": "assistant", "content": answer.reply.content})
        ended = answer.reason == "stop"
    return Conversation(messages=tuple(messages), ended=ended)
