"""Words that decide whether a point ends a sentence: abbreviations, and words that often begin a sentence."""

# ruff: noqa: RUF001 - other scripts have letters that look like Latin ones

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER_LAST = _words(
    # English
    "Adm Capt Cmdr Col Cpl Dr Fr Gen Gov Hon Lt Maj Messrs Mr Mrs Ms Mt Mx Pres Prof Pvt Rep Rev Sen Sgt Supt Ft"
    # German
    " Dipl Fam Hr Hrn Ing dent habil jur med nat phil rer"
    # French, Spanish, Portuguese, Italian, Dutch
    " MM Mgr Sr Sra Srta Dra Profa Lic Arq Ud Uds EE Exmo Exma Sig Sigra Dott Avv Dhr Mevr"
    # Russian, Hindi
    " Проф Акад डॉ प्रो"
)
"""Titles and the like, which a name follows."""

NEVER_LAST_IN_ANY_CASE = _words(
    # English
    "e.g i.e eg ie vs viz cf approx ca incl excl esp resp op cit et"
    # German
    " z.b d.h u.a o.ä i.d.r s.o s.u bzw vgl sog evtl ggf inkl exkl zzgl allg ehem geb gest bspw insb zb"
    # French, Spanish, Italian, Dutch
    " p.ex ex av c.-à-d p.ej ej env par.ex bijv d.w.z o.a bv drs"
    # Russian, Polish, Czech
    " т.е т.к т.н см ср напр проф им ул np tj tzn m.in tzv"
)
"""Abbreviations within a sentence, in small letters."""

LAST_BEFORE_A_BEGINNING = _words(
    "al ave bhd blvd bros chr cie co corp dept ed eds est gmbh hwy inc j.-c jr ltd llc mio mrd plc rd sq sr st str univ"
    " uu тыс млн млрд руб др"
)
"""Abbreviations that may end a sentence, in small letters: they do if a word follows that often begins one."""

NOT_BEFORE_A_NUMBER = _words(
    "jan feb mar apr jun jul aug sep sept oct nov dec"
    " abb abs anm art bd cap ch chap eq fig figs kap lfd max min no nos nr núm num p pag pág par pp pt ref s sec sect"
    " tab tel v ver vol vols z ziff § §§ стр рис табл гл"
)
"""Abbreviations that end no sentence if a number follows, in small letters."""

ENDS_WITH_A_MARK = frozenset({"yahoo", "jeopardy"})
"""Names that are written with an exclamation mark."""

AFTER_AN_ORDINAL = _words(
    "Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember Jahrhundert Jahrhunderts"
    " Weltkrieg Weltkriegs Klasse Stock Platz Mal Etage Auflage Geburtstag"
)
"""German nouns that follow an ordinal number, which is written with a point."""

BEFORE_AN_ORDINAL = _words(
    "am beim das dem den der des die dieser diesem im ins vom zum zur"
    " dein dem ihr ihrem ihren kein mein meinem meinen sein seinem seinen unser unserem unseren jeder jedes"
)
"""German words before an ordinal number, in small letters: the noun behind the number may be any."""

LABELS = _words(
    "step part chapter section phase rule tip question option example figure fig table item point problem"
    " schritt kapitel teil abschnitt étape chapitre partie paso parte capítulo"
)
"""Words that make a label with the number behind them, at the beginning of a line, in small letters."""

BEGINNINGS = _words(
    # English
    "A After All Also Although An And Another Any Are As At Because Before Both But By Can Could Did Do Does During"
    " Each Even Every Finally First For From Had Has Have He Her Here His How However I If In Instead Is It Its Just"
    " Last Later Let Like Many Maybe Me Meanwhile Moreover Most My Next No Not Now Of Oh Okay On Once One Only Or"
    " Other Our Please She Should Since So Some Sometimes Still Such Sure Thank Thanks That The Their Then There"
    " Therefore These They This Those Though Thus To Today Together Tomorrow Unfortunately Until Was We Well Were What"
    " When Where Which While Who Whose Why With Would Yes Yesterday Yet You Your"
    # German
    " Aber Als Am Auch Auf Bei Da Dabei Daher Damit Danach Dann Das Dass Dem Denn Der Deshalb Die Dies Diese Dieser"
    " Dieses Doch Dort Ein Eine Einer Er Es Für Heute Hier Ich Ihr Ihre Im Ist Ja Jede Jetzt Mein Mit Nach Nein Noch"
    " Nun Nur Ob Oder Seine Seit Sie Sind Solche Trotzdem Und Unter Viele Vor Wann Warum Was Weil Wenn Wer Wie Wir Wo"
    " Zum Zur"
    # French
    " Alors Avec Ce Cela Ces Cette Chaque Comme Dans Depuis Elle Elles En Enfin Est Et Il Ils Je Les Leur Mais Nous On"
    " Ou Où Par Parce Pour Pourquoi Puis Quand Que Qui Sans Ses Si Son Sur Tous Tout Un Une Vous"
    # Spanish
    " Además Ahora Así Con Cuando Desde Después Ella Ellos Entonces Eso Esta Este Esto Las Muchos No Pero Por Porque"
    " Si Sí También Todo Todos Una Y Ya Yo"
    # Russian
    " В Вот Все Всё Вы Где Да Для Если Есть Затем И Из Или Их К Как Когда Который Мы На Не Нет Но Однако Он Она Они"
    " Оно По Поэтому После При С Также Так Там То Тогда Только Ты У Что Чтобы Это Этот Я"
)
"""Words that often begin a sentence, and seldom a name."""
