"""Languages, told by script, by characters of the time, and by the library."""

import pytest

from qingtan.corpus.quality import LanguageTable, identify

SENTENCES = {
    "zh": [
        "我们昨天去公园散步，孩子们玩得很高兴，回家的时候天已经黑了。",
        "我們昨天去公園散步，孩子們玩得很高興，回家的時候天已經黑了。",
        "第一条 为了规范市场秩序，保护消费者的合法权益，根据有关法律，制定本条例。",
        "宝玉听了，忙把手里的书放下，笑着说道：“你们今儿怎么来得这样早？”",
        "请输入用户名。",
    ],
    "lzh": [
        "学而时习之，不亦说乎？有朋自远方来，不亦乐乎？人不知而不愠，不亦君子乎？",
        "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
        "世有伯樂，然後有千里馬。千里馬常有，而伯樂不常有。故雖有名馬，祇辱於奴隸人之手。",
        "大江东去，浪淘尽，千古风流人物。故垒西边，人道是，三国周郎赤壁。",
    ],
    "en": [
        "The weather was cold, but the children played outside until it was dark.",
        "If you want to build the package from source, install the compiler first.",
        "She has lived here for more than twenty years and knows everyone.",
    ],
    "ja": ["昨日は公園を散歩しました。子供たちはとても楽しそうに遊んでいました。"],
    "ko": ["어제 우리는 공원에서 산책을 했고 아이들은 아주 즐겁게 놀았습니다."],
    "ru": ["Вчера мы гуляли в парке, и дети очень весело играли до самого вечера."],
    "uk": [
        "Вчора ми гуляли в парку, і діти дуже весело гралися аж до самого вечора, бо їм цікаво."
    ],
    "ar": ["ذهبنا أمس إلى الحديقة ولعب الأطفال بفرح كبير حتى حل الظلام وعدنا إلى البيت."],
    "fa": ["دیروز به پارک رفتیم و بچه‌ها تا شب با خوشحالی بازی کردند و سپس به خانه برگشتیم."],
    "hi": ["कल हम पार्क में घूमने गए और बच्चे बहुत खुशी से शाम तक खेलते रहे।"],
    "el": ["Χθες πήγαμε βόλτα στο πάρκο και τα παιδιά έπαιξαν πολύ χαρούμενα."],
    "he": ["אתמול טיילנו בפארק והילדים שיחקו בשמחה רבה עד הערב."],
    "th": ["เมื่อวานเราไปเดินเล่นที่สวนสาธารณะและเด็กๆ เล่นกันอย่างสนุกสนาน"],
    "de": ["Gestern sind wir im Park spazieren gegangen, und die Kinder spielten bis zum Abend."],
    "fr": ["Hier, nous nous sommes promenés dans le parc et les enfants ont joué jusqu'au soir."],
    "es": ["Ayer paseamos por el parque y los niños jugaron muy contentos hasta la noche."],
    "pt": ["Ontem passeamos pelo parque e as crianças brincaram muito felizes até a noite cair."],
    "it": ["Ieri abbiamo passeggiato nel parco e i bambini hanno giocato felici fino a sera."],
    "nl": ["Gisteren hebben we in het park gewandeld en de kinderen speelden tot het donker werd."],
    "pl": ["Wczoraj spacerowaliśmy po parku, a dzieci bawiły się wesoło aż do wieczora."],
    "tr": ["Dün parkta yürüyüş yaptık ve çocuklar akşama kadar çok mutlu bir şekilde oynadılar."],
    "vi": ["Hôm qua chúng tôi đi dạo trong công viên và bọn trẻ chơi rất vui vẻ cho đến tối."],
}


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_known(language: str) -> None:
    assert identify(SENTENCES[language]) == [language] * len(SENTENCES[language])


def test_a_text_is_the_same_language_beside_any_others() -> None:
    texts = [text for sentences in SENTENCES.values() for text in sentences] * 2
    assert identify(texts) == [identify([text])[0] for text in texts]


def test_chinese_documentation_with_much_code_is_chinese() -> None:
    code = "for name, value in sorted(settings.items()):\n    print(name, value, sep='=')\n"
    text = "# 用法\n\n下面的例子会列出所有设置，然后退出程序。\n\n```python\n" + code * 2 + "```\n"
    assert identify([text, text * 40]) == ["zh", "zh"]


def test_english_that_names_a_few_chinese_words_is_english() -> None:
    text = "The city of Beijing (北京) is the capital, and the river that flows by it is long."
    assert identify([text, text * 50]) == ["en", "en"]


def test_chinese_that_names_a_japanese_word_is_chinese() -> None:
    assert identify(["在日语里，“猫”念作ねこ，这个词我们在很多动画片里都听得到。"]) == ["zh"]


def test_a_long_text_is_known_by_all_its_parts() -> None:
    english = "This notice must be kept with every copy of the work, and it must not be changed.\n"
    chinese = "我们在这里说明这个软件的用法，你可以从头读起，也可以只看需要的部分。\n"
    assert identify([english * 10 + chinese * 200]) == ["zh"]


@pytest.mark.parametrize("text", ["", " \n", "12:30", "ok", "→ ★ ←", "字", "3.14159 2.71828"])
def test_too_little_text_is_not_known(text: str) -> None:
    assert identify([text]) == ["und"]


def test_nothing_gives_nothing() -> None:
    assert identify([]) == []


def test_the_table_keeps_chinese_and_english_unless_told_otherwise() -> None:
    assert LanguageTable().keep == ("zh", "lzh", "en")
    assert LanguageTable.model_validate({"keep": []}).keep == ()


def test_a_list_of_latin_names_is_no_classic() -> None:
    versions = "版本 频道 发布日期\n" + "Visual Studio Enterprise 预览，其次发布\n" * 10
    assert identify([versions]) == ["zh"]
