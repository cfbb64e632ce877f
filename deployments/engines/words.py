"""Words of English and Arabic text as the embedded engines compare them: one form a word, and how much it says.

Text in, `Word`s out; pure and the same in every process. Stemming is crude on purpose: both sides of a comparison go
through it, and only equality counts. English endings follow the first steps of M. F. Porter, "An algorithm for suffix
stripping" (1980), without its measure of syllables. A small table makes one of general words that say the same, above
all of what Arabic dialects say and what is written (ماي, مويه and مياه).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from deployments.engines.arabic import is_arabic, normalise
from deployments.engines.arabic import stem as arabic_stem

_WORD = re.compile(r"[^\W_]+(?:['’ʼ][^\W_]+)*")
_WITHOUT = "بدون"
_LONGEST_WORD = 64
"""Characters; what is longer is not a word of a language, and must not cost more than one."""

_SILENT_WORDS = """
    a an the and or but if so than then as at by for from in into of on onto over to up down with without about
    after before i me my mine we us our ours you your yours he him his she her it its they them their this that
    these those there here what when where which who whom whose why how be am is are was were been being do does
    did doing done have has had having can could will would shall should may might must not yes don doesn didn isn
    aren wasn won't couldn wouldn ll ve re please thank thanks hello hi hey okay ok well just also very too any
    some all each every such only like want need needs needed wish tell know say said let give get got getting help
    find ask asking question whats wanna gonna sorry
    ما ماهي ماهو ماذا متي كيف كم اين هل من في علي الي عن مع هو هي هم ان انا نحن انت انتم او ثم قد لا لم لن ليس هذا
    هذه ذلك تلك التي الذي الذين اذا لو كل اي ايه كان يكون تكون اكون اريد نريد ابغي ابغا ابي بدي عايز ممكن يمكن
    يمكنني يمكنك استطيع اعرف اعمل افعل اسوي سوي لازم نبي ابا ودي اقدر نقدر تقدر لي لك لكم لديكم لدي عندكم عندي عندك
    عندنا سمحت فضلك شو شنو وش ايش ليش ليه شلون امتي لماذا هنا هناك وين فين بعد قبل عند بين حتي يجب علينا عليكم منكم
    انتو انتوا اللي هذي معي معاي كام اليوم اخري توجد يوجد مو مش حق عشان اخبرني احتاج نعم شكرا مرحبا السلام"""
_WEAK_WORDS = """
    time times day days today tomorrow now much many long new old good best more most other one way thing things
    make take go going went come use work people person happen happens someone anyone something anything still
    again ever out off back no without put bring send sent start begin used uses possible allowed soon fast quick
    quickly list near nearest another else morning tonight yesterday last next inside outside accept always able
    add allow already available bad become big bit both certain change check choose clear common complete correct
    current decide different difficult early easy end enough every everything exact explain expect fill find finish
    first fix follow full general gone hard hear hope idea immediate important include information inform instead
    interest issue keep kind large later least leave left less little live look lot matter maybe mean method mind
    miss moment name necessary never nice nothing notice occur offer often once option otherwise part particular
    perhaps place point prefer probably problem process proper provide purpose quite reach ready real reason
    receive regard remain request require rest result right same see seem set several short show simple since
    situation small sort stand state stay step stuff sudden suggest support sure taken think together told total
    tried true try turn twice type understand usual various version view wait whatever while whole wrong yet
    وقت ساعه ساعات يوم غدا الان جديد اكثر شيء شي احد شخص طريقه اقرب قريب واجد وايد مره الحين بدون بلا ثاني ثانيه
    امس سريع داخل خارج ابدا صار يصير حد حدا محد عطني ارسل مشكله موضوع حاله سوال استفسار معلومات تفاصيل طرق كيفيه
    نوع حل سبب غلط صح صحيح كبير صغير كثير قليل مناسب متوفر متاح موجود بدا يبدا تبدا انتهي خلص اخذ استلم حصل جاب
    اجيب اجي يجي راح اروح اشوف علمني حط احط خلي نفس دايما احيانا مباشره فقط حاليا جدا كمان ايضا بسرعه اسرع افضل
    احسن اسهل ارغب حاب احب طلب اطلب اسم واحد وحده مبلغ يحدث يتم"""
_SAME = """
    price cost rate tariff
    pay settle
    power electricity electrical
    centre center
    installment instalment
    phone mobile telephone
    home house
    flat apartment
    bill invoice
    tax vat
    car vehicle ev
    complaint complain
    document paper
    close cancel shut terminate
    language speak talk
    transfer move
    holiday eid
    مياه ماء ماي مويه موي ميه
    عمل دوام داوم شغل اشتغل
    مفتوح فاتح
    غلق اغلاق مغلق سكر مسكر تسكير قفل مقفل الغاء
    قطع انقطاع انقطع منقطع مقطوع قاطع طافي طفت
    رجع عاد تعود استرد استرداد استرجع استعاد استعيد اعاد اعاده
    وصل توصيل
    فصل مفصول انفصل
    حريق احتراق محروق
    فلوس مصاري مال
    قرا اقرا قراءه تقرون
    خرج طلع
    وقت اوقات ساعه ساعات
    بدون بلا
    no without
    سعر بكم تكلفه كلفه تعرفه
    دفع سدد سداد تسديد
    مرتفع ارتفع ترتفع عالي غالي
    قسط تقسيط اقساط
    فاتوره فواتير
    مكتب مكاتب
    فرع فروع
    مركز مراكز
    مستند ورق اوراق وثيقه وثائق
    بيت منزل شقه سكن مسكن
    نقل انتقال انتقل بنتقل
    غير تغيير تبديل بدل
    هاتف تلفون جوال موبايل
    سياره مركبه
    نسخه صوره
    شكوي شكاوي اشتكي
    تاخير تاخر متاخر
    معطل عطلان خربان خراب خرب
    تسرب تسريب
    رائحه ريحه
    لوح الواح
    ركب تركيب
    شحن اشحن
    حمل تحميل تنزيل نزل
    ضعيف ضعف
    لغه لغات
    عطله عطل اجازه
    رقم ارقام
    يوم ايام"""
"""A line for each meaning. Only words that mean the same whatever the documents are about: what is special to a
business belongs into its documents."""

_SILENT_WEIGHT = 0.05
_WEAK_WEIGHT = 0.3
"""Words that help to tell two passages apart, but do not make a topic by themselves."""

_NONE = re.compile(r"\bما ?(?:في|فيه|كو|عندي|عندنا|عندك|عندكم)\b|\bلا [يت]وجد\b|\bليس (?:عندي|عندنا|لدي|لدينا)\b")
"""What callers say for "no water, no power"; its single words also mean "what is in…"."""

_ODD = {"timing": "hour", "timings": "hour"}
"""Words that are not what their stem says: in the Gulf, the timings of an office are its hours."""

_UNDOUBLED = re.compile(r"([bdgkmnprtv])\1$")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text."""

    stem: str
    """What is compared."""
    weight: float
    """How much it says about the topic: 1 for most words, next to nothing for "the" and "how"."""

    @property
    def informative(self) -> bool:
        """Whether the word says anything about the topic."""
        return self.weight > _SILENT_WEIGHT


def words(text: str) -> list[Word]:
    """The words of `text` in order, each in the one form that is compared."""
    return [_word(found[:_LONGEST_WORD]) for found in _WORD.findall(_NONE.sub(_WITHOUT, normalise(text).lower()))]


def plain_words(text: str) -> list[str]:
    """The words of `text` as they stand, lower-cased, with ASCII apostrophes."""
    return [re.sub("[’ʼ]", "'", found) for found in _WORD.findall(text.lower())]


@lru_cache(maxsize=50_000)
def _word(written: str) -> Word:
    # "what's" and "don't" are compared without their tails; "won't" must not become "won".
    whole = re.sub("[’ʼ]", "'", written)
    word = whole if whole in _SILENT else whole.split("'", 1)[0]
    if word in _SILENT or word.removeprefix("و") in _SILENT or (len(word) == 1 and word.isalpha()):
        return Word(word, _SILENT_WEIGHT)
    found = _ODD.get(word) or stem(word)
    return Word(_ONE.get(found, found), _WEAK_WEIGHT if found in _WEAK else 1.0)


def stem(word: str) -> str:
    """A normalised, lower-cased word without its ending: opening and open, payments and pay become one."""
    if is_arabic(word):
        return arabic_stem(word)
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    word = re.sub(r"(?<=\w{2})ies$", "y", word)
    word = re.sub(r"(?<=ss|sh|ch)es$|(?<=x)es$", "", word)
    word = re.sub(r"(?<=\w{2}[^su])s$", "", word)
    word = re.sub(r"(?<=\w{2})ied$", "y", word)
    shorter = re.sub(r"(?<=\w{3})(?:ment|ing|ed)$|(?<=\w{4})ly$|(?<=\w{4}[ts])ion$", "", word)
    if shorter != word:
        shorter = _UNDOUBLED.sub(r"\1", shorter)
    return shorter.removesuffix("e") if len(shorter) > 3 else shorter


_SILENT = frozenset(normalise(_SILENT_WORDS).split())
_WEAK = frozenset(stem(word) for word in normalise(_WEAK_WORDS).split())
_ONE = {
    stem(word): stem(line.split()[0]) for line in normalise(_SAME).splitlines() if line.strip() for word in line.split()
}
