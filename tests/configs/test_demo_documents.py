"""The demo tenant's documents can be asked about: each question, and other words for it, finds its own answer."""

import itertools
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pocketsphinx
import pytest
import yaml

from configs.engines import HashedEmbedder, LexicalReranker, LocalIndex, ResponderLlm
from configs.settings import TENANTS, Dialogue
from deployments.contracts.dialogue import GenerationRequest, Message
from deployments.contracts.knowledge import KnowledgeQuery, Passage
from deployments.embedder import Embedder
from deployments.engines.arabic import normalise
from deployments.engines.responder import Responder
from deployments.engines.sentences import sentences
from deployments.knowledge import Knowledge
from deployments.phrases import spoken_form
from deployments.reranker import Reranker
from kb_pipeline.ingest import ingest_folder

FOLDER = TENANTS / "demo"
ENOUGH = Dialogue().min_passage_score
QUESTIONS = yaml.safe_load(Path(__file__).with_name("demo_questions.yaml").read_text(encoding="utf-8"))


def entries(language: str) -> dict[str, list[str]]:
    """Heading → the sentences under it. Those that are questions are only there to be found, and never said."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob(f"*.{language}.md"))]
    sections = [section for text in texts for section in re.findall(r"^## (.+)\n([^#]+)", text, re.MULTILINE)]
    return {heading: sentences(text) for heading, text in sections}


def answer(under: list[str]) -> str:
    return " ".join(sentence for sentence in under if not sentence.endswith(("?", "؟")))


@pytest.fixture
async def knowledge(tmp_path: Path) -> AsyncIterator[Knowledge]:
    made = Knowledge(
        LocalIndex(), str(tmp_path), Embedder(HashedEmbedder()), Reranker(LexicalReranker()), candidates=20
    )
    results = await ingest_folder(made, "demo", FOLDER)
    # Sounds may lie beside the documents; they are reported as such, and are not looked at here.
    assert [result for result in results if result.file.endswith(".md") and not result.ok] == []
    yield made


async def found(knowledge: Knowledge, question: str, language: str | None) -> list[Passage]:
    """The passages that are good enough to answer from."""
    passages = (await knowledge.find(KnowledgeQuery("demo", question, 3, language))).passages
    return [passage for passage in passages if passage.score >= ENOUGH]


@dataclass(frozen=True, slots=True)
class Shares:
    """Of the questions asked: answered from the right passage, or another; of those of others: answered at all."""

    right: float
    wrong: float
    answered: float


def said_from(passages: list[Passage], question: str, language: str) -> str | None:
    """Heading of the passage that the caller hears the answer from; None when the agent has no answer."""
    if not passages:
        return None
    request = GenerationRequest("1", "demo", "", (Message("caller", question),), tuple(passages), language)
    first = next(Responder(ResponderLlm()).generate(request))
    return passages[first.used[0]].heading if first.used else None


async def shares(knowledge: Knowledge, language: str, *parts: str) -> Shares:
    """What callers hear: not the passage found first, but the one that the responder's answer is taken from."""
    right, top_right, wrong, asked, answered, elsewhere = 0, 0, [], 0, [], 0
    for part in parts:
        for headings, questions in QUESTIONS[part][language]["asked"].items():
            for question in questions:
                passages = await found(knowledge, question, language)
                said = said_from(passages, question, language)
                asked += 1
                top_right += passages != [] and passages[0].heading in headings.split(" | ")
                right += said in headings.split(" | ")
                if said is not None and said not in headings.split(" | "):
                    wrong.append((question, said))
        for question in QUESTIONS[part][language]["elsewhere"]:
            elsewhere += 1
            answered += [(question, passage.heading) for passage in (await found(knowledge, question, language))[:1]]
    print(f"\n{language} {'+'.join(parts)}: {asked} questions, right passage first {top_right / asked:.1%}")
    print(f"said: right {right / asked:.1%}, wrong {len(wrong) / asked:.1%}")
    print(f"asked of others: {elsewhere}, answered {len(answered)}\nwrong {wrong}\nanswered {answered}")
    return Shares(right / asked, len(wrong) / asked, len(answered) / elsewhere)


def test_there_is_enough_to_ask_about() -> None:
    assert len(entries("en")) >= 42
    assert len(entries("ar")) >= 35


def test_every_topic_is_there_in_both_languages() -> None:
    names = {
        language: {path.name.split(".")[0] for path in FOLDER.glob(f"*.{language}.md")} for language in ("en", "ar")
    }

    assert names["en"] == names["ar"]
    # Arabic asks twice for the hours: "what are the hours" and "when do you open, when do you close".
    assert len(entries("ar")) == len(entries("en")) + 1


@pytest.mark.parametrize("language", ["en", "ar"])
async def test_every_question_finds_its_own_answer(knowledge: Knowledge, language: str) -> None:
    missed = [
        question
        for question in entries(language)
        if [passage.heading for passage in await found(knowledge, question, language)][:1] != [question]
    ]

    assert missed == []


@pytest.mark.parametrize("language", ["en", "ar"])
async def test_every_question_is_answered_in_whole_sentences(knowledge: Knowledge, language: str) -> None:
    responder = Responder(ResponderLlm())
    for question, under in entries(language).items():
        passages = tuple(await found(knowledge, question, language))

        said = responder.answer(GenerationRequest("1", "demo", "", (Message("caller", question),), passages, language))

        assert said == answer(under)
        assert said.endswith(".")


@pytest.mark.parametrize("language", ["en", "ar"])
async def test_other_words_find_the_answer(knowledge: Knowledge, language: str) -> None:
    heard = await shares(knowledge, language, "tuned", "held_out")

    assert heard.right >= 0.9
    assert heard.wrong <= 0.03
    assert heard.answered <= 0.03


@pytest.mark.parametrize(
    ("part", "language", "least_right", "most_wrong", "most_answered"),
    [
        ("held_out", "en", 0.70, 0.09, 0.1),
        ("held_out", "ar", 0.83, 0.09, 0.02),
        ("held_out2", "en", 0.908, 0.049, 0.02),
        ("held_out2", "ar", 0.737, 0.077, 0.02),
    ],
)
async def test_words_nobody_tuned_for_do_not_get_worse(
    knowledge: Knowledge, part: str, language: str, least_right: float, most_wrong: float, most_answered: float
) -> None:
    """What was measured (two points less for `held_out2`), so that tuning is not paid for by all other questions."""
    heard = await shares(knowledge, language, part)

    assert heard.right >= least_right
    assert heard.wrong <= most_wrong
    assert heard.answered <= most_answered


def test_no_question_is_both_tuned_for_and_held_out() -> None:
    for language in ("en", "ar"):
        asked = [
            question
            for part in QUESTIONS.values()
            for questions in (*part[language]["asked"].values(), part[language]["elsewhere"])
            for question in questions
        ]

        assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    "asked", ["ما هي ساعات العمل", "مَا هِيَ سَاعَاتُ العَمَلِ؟", "ما هى ساعات العـــمل", "ماهي ساعات العمل ؟"]
)
async def test_arabic_is_found_however_it_is_spelt(knowledge: Knowledge, asked: str) -> None:
    (best, *_) = await found(knowledge, asked, "ar")

    assert best.heading == "ما هي ساعات العمل؟"


async def test_the_language_need_not_be_known(knowledge: Knowledge) -> None:
    (english, *_), (arabic, *_) = await found(knowledge, "bill due", None), await found(knowledge, "شو دوامكم", None)

    assert english.heading == "When is my bill due?"
    assert arabic.heading == "ما هي ساعات العمل؟"


async def test_every_english_question_can_be_heard(knowledge: Knowledge) -> None:
    dictionary = Path(pocketsphinx.get_model_path("en-us")) / "cmudict-en-us.dict"
    known = {line.split(maxsplit=1)[0] for line in dictionary.read_text(encoding="utf-8").splitlines()}

    phrases = (await knowledge.phrasebook("demo")).phrases

    assert len(phrases) == len(entries("en"))
    assert {word for phrase in phrases for word in phrase.split()} - known == set()
    assert {len(phrase.split()) for phrase in phrases} <= set(range(4, 13))


def test_no_two_english_questions_differ_in_one_word_only() -> None:
    """The recogniser would take one for the other."""
    spoken = [spoken_form(heading).split() for heading in entries("en")]
    for one, other in itertools.combinations(spoken, 2):
        if len(one) == len(other):
            assert sum(left != right for left, right in zip(one, other, strict=True)) >= 2, (one, other)


@pytest.mark.parametrize("language", ["en", "ar"])
def test_answers_can_be_read_aloud(language: str) -> None:
    for under in entries(language).values():
        assert len(answer(under).split()) <= 45, under
        assert not re.search(r"[\d٠-٩@:/%*_]", answer(under)), under
        assert language == "en" or not re.search(r"[A-Za-z]", " ".join(under)), under


FACTS = """
    eight in the morning to six in the evening | من الثامنة صباحا حتى السادسة مساء
    from eight to twelve noon | من الثامنة حتى الثانية عشرة ظهرا
    from nine in the morning to two in the afternoon, Dubai time | من التاسعة صباحا حتى الثانية بعد الظهر بتوقيت دبي
    On Friday in Ramadan they are from nine to twelve | الجمعة في رمضان من التاسعة حتى الثانية عشرة
    closed on Saturday and Sunday | مغلقة يومي السبت والأحد
    second and third of December | الثاني والثالث من ديسمبر
    close at twelve noon, before the Friday prayers | في الثانية عشرة ظهرا، قبل صلاة الجمعة
    Palm Grove Street, on Pearl Lagoon Road and on Falcon | بستان النخيل وطريق بحيرة اللؤلؤ وشارع الصقر
    eight hundred, and then four zeros | ثمانمئة ثم أربعة أصفار
    fourteen days after the date | بعد أربعة عشر يوما من تاريخها
    three days before the due date | قبل الموعد بثلاثة أيام
    six monthly installments | ستة أقساط
    last two years | آخر سنتين
    late fee of twenty dirhams | غرامة تأخير قدرها عشرون درهما
    first thirty days after the due date | أول ثلاثين يوما بعد موعد الاستحقاق
    within ten working days. You can ask for a refund | خلال عشرة أيام عمل. اطلب الاسترداد
    seven days before we cut it off | قبل الفصل بسبعة أيام
    reconnection fee of one hundred dirhams | رسوم إعادة التوصيل، وهي مئة درهم
    reconnect the supply within four hours | من جديد خلال أربع ساعات
    thirty fils a unit for the first two thousand units | ثلاثون فلسا للوحدة لأول ألفي وحدة
    further unit costs forty fils | وبعد ذلك أربعون فلسا للوحدة
    four fils a gallon for the first six thousand gallons | أربعة فلوس للجالون لأول ستة آلاف جالون
    a gallon costs five fils | خمسة فلوس للجالون
    service charge of ten dirhams for each meter | رسوم خدمة شهرية قدرها عشرة دراهم لكل عداد
    tax of five percent | ضريبة نسبتها خمسة في المئة
    twenty four degrees | أربع وعشرين درجة
    forty charging stations | محطات الشحن الأربعين
    one hour, and you pay thirty fils a unit | ساعة تقريبا، وتدفع ثلاثين فلسا للوحدة
    plan within ten working days | المخطط خلال عشرة أيام عمل
    within two hours | خلال ساعتين
    more than six hours | أكثر من ست ساعات
    by text message at least three days before | وبرسالة نصية قبلها بثلاثة أيام على الأقل
    takes less than four hours | وتستغرق أقل من أربع ساعات
    once every two months | مرة كل شهرين
    meter for free within three working days | مجانا خلال ثلاثة أيام عمل
    a complaint within five working days | على الشكوى خلال خمسة أيام عمل
    free and takes one working day | مجاني ويستغرق يوم عمل واحدا
    about ten minutes. Your supply starts within one working day | عشر دقائق. وتصلك الخدمة خلال يوم عمل واحد
    at least two working days before | بيومي عمل على الأقل
    one thousand dirhams for a flat and three thousand dirhams for a villa | ألف درهم للشقة وثلاثة آلاف درهم للفيلا
    within seven working days after you have paid the final bill | خلال سبعة أيام عمل بعد دفع الفاتورة الأخيرة
    at least three days before you move | قبل الموعد بثلاثة أيام على الأقل
"""


@pytest.mark.parametrize(("english", "arabic"), [line.split(" | ") for line in FACTS.strip().splitlines()])
def test_both_languages_tell_the_same(english: str, arabic: str) -> None:
    said = {language: " ".join(answer(under) for under in entries(language).values()) for language in ("en", "ar")}

    assert english.strip() in said["en"]
    assert normalise(arabic) in normalise(said["ar"])
