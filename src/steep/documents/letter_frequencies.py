"""Letters in the order of their frequency, per group of languages that share encodings.

Only their order matters to `legacy_encodings.py`.
"""

from __future__ import annotations

# Scripts of their own: all letters of a text are beyond ASCII.
ALPHABETS: dict[str, tuple[str, ...]] = {
    "cyrillic": (
        "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",  # Russian
        "оанивтеірслкудмпязьбгчхйїюєщшжцфґ",  # Ukrainian
        "аоиетнрсвлкпдмзяъгубчйщшжхцюфь",  # Bulgarian
        "аоиенрсјтукдвмплзгбшчцћжђхљњџф",  # Serbian
        "аоиетнрсвдкпјмлузгбчцшжќѓхфљњѕџ",  # Macedonian
        "анаіцерсоуўыэвкдлямзпьггбчшхйёжюфщ",  # Belarusian
    ),
    "greek": ("αοιετσνηυρπκμλςωόίγάέήδχθύφώβξζψϊϋΐΰ",),
    "hebrew": ("יוהלתרמאבשנעםדקחפגצטכזסןךףץ",),
    "arabic": (
        "اليمنتربوعدفهكسقحةجأشصطخضىذثئزءغإظآؤ",
        "اینردهموتبسکشلفقگخزعحجآپطصضظچغذثئءأژ",  # Persian
    ),
    "thai": ("าน่รก้อเงัมยีลวดทิสตะปำบคห์แจุพืู็ชขใไึโผณธศษฐถภซฉฟฎฮญ",),
}

# Latin: letters beyond ASCII among those of ASCII; an empty text stands for English.
DIACRITICS: dict[str, tuple[str, ...]] = {
    "western": (
        "",
        "éèàêçùâîôûœïëüæ",  # French
        "üäößé",  # German
        "óíáéñúü¿¡",  # Spanish
        "ãçáéíóêõâúàôü",  # Portuguese
        "èàùìòéîó",  # Italian
        "äöåé",  # Swedish and Finnish
        "åøæéöä",  # Danish and Norwegian
        "éëïèöü",  # Dutch
        "áíéðþóúöýæ",  # Icelandic
        "àéèòíçóïúü·",  # Catalan
    ),
    "central": (
        "łęąśóżćńź",  # Polish
        "íáéěřčýžšůúďťňó",  # Czech
        "áíéýčžšúľťôďňäóĺŕ",  # Slovak
        "áéöőóüíúű",  # Hungarian
        "ăîţâş",  # Romanian
        "čšžćđ",  # Croatian and Slovenian
        "ëç",  # Albanian
    ),
    "turkish": ("ışüğçöİâî",),
    "baltic": (
        "ėšųžįąčūę",  # Lithuanian
        "āīšēūžņļčķģ",  # Latvian
        "äõüöšž",  # Estonian
    ),
}

FREQUENT_HAN = {
    "simplified": (
        "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子"
        "说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机"
        "当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心"
        "反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程"
        "展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期"
        "权人自由应享受法律任何平等保护教育社会"
    ),
    "traditional": (
        "的一是不在有人我了他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得于著下自之年過發"
        "後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心本前開但"
        "因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物"
        "手應戰向頭文體政美相見被利什二等產或新己制身果加月話合回特代內信表化老給世位次度門任常先海通教"
        "兒原東聲提立及比員解水名真論處走義各入口認條平系氣題活別打女變四神總何電數安少報才結反受目太量"
    ),
}

FREQUENT_HANGUL = (
    "이다는의에을가를고은한로하지사도기나인어있자그리대시서해부정수일보아여라들과으상만제었게주전것성했오니"
    "장원면국연문무관유구모안우회선미세경중계조없동신당때같말려비방적생소실분위학습권간후물내체개화업발외진"
)
