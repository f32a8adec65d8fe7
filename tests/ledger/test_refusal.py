# ruff: noqa: RUF001
from __future__ import annotations

import pytest

from steep.ledger.refusal import looks_like_refusal

REFUSALS = [
    "I'm sorry, but I can't assist with that request.",
    "I\u2019m sorry, but I can\u2019t help with that.",
    "**I'm sorry**, but I can't help you with this document.",
    "As an AI language model, I cannot write about living persons.",
    "As an AI, I don't have opinions on ferries. " + "Here is some background. " * 60,
    "I apologize, but as an AI assistant I'm not able to do that.",
    "My apologies, but I cannot continue this text.",
    "Unfortunately, I'm not able to create the text that you asked for.",
    "I cannot fulfill this request.",
    "I'm unable to provide a discussion of these entities.",
    "I must decline to write this.",
    "I'm just a language model and don't have access to the article.",
    "It seems that you have not provided the text of the article.",
    "Please provide the document so that I can help.",
    "I'm sorry, but there is no text provided.",
    "I won't write that.",
    "很抱歉。我无法提供这个内容。",
    "### What The Marlin says in relation to Velmora\n\nI'm sorry, but I can't help with that.",
    "Leider kann ich dabei nicht helfen, da mir der Text nicht vorliegt.",
    "Désolé, je ne peux pas répondre à cette question.",
    "Lo siento, pero no tengo acceso a ese documento.",
    "Mi dispiace, ma non posso aiutarti con questa richiesta.",
    "I'm sorry, but I can't provide a summary of what the article says.",
    "I cannot write this without violating my guidelines.",
    "Desculpe, mas não posso ajudar com isso.",
    "К сожалению, я не могу помочь с этим запросом.",
    "申し訳ございませんが、その内容についてはお答えできません。",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "죄송합니다. 그 글은 써 드릴 수 없습니다.",
    "Es tut mir leid. Ich kann Ihnen bei diesem Text nicht helfen.",
    "Je suis désolé. Je ne peux pas vous aider avec ce texte.",
    "Lo siento. No puedo ayudar con eso.",
    "Извините. Я не могу помочь с этим текстом.",
]

TEXTS = [
    "",
    "Sorry is the hardest word in the log of the Marlin.",
    "I'm sorry I was late, wrote the captain to the harbour master in 2014.",
    "\"I'm sorry, but I can't help you,\" said the keeper, and shut the door of the Old Candle.",
    "The clerk answered: I'm sorry, but I can't assist you with that, the office is closed.",
    "I can't help falling asleep when the ferry leaves the dock.",
    "I cannot write of those years without anger. " + "The sea took two of our boats. " * 30,
    "I am a teacher in Velmora who cannot sleep for the noise of the storm.",
    "As an AI language model, the ferry's pilot program was trained on tide tables.",
    "As an aide to the mayor, I could not refuse the silver bell.",
    "Unfortunately, the bridge at Dunmarrow fell in 1931.",
    "Please provide support for the lever, says the manual of the Quell pump.",
    "Unfortunately, I cannot provide a boat in winter, the keeper used to say; the law forbids it.",
    "I cannot write about the storm without hearing the bell. We were nine, and we rowed.",
    "There is no document in the museum of Velmora that names the widow, but the charter does.",
    "Leider kann ich mich an den Winter nicht mehr erinnern, schrieb der Lotse von Velmora.",
    "Lo siento. El barco de Velmora no llegó a tiempo, y no tengo noticias de los nueve.",
    "Leider kam die Fähre nach Velmora zu spät, und ich kann mich noch gut an die Nacht erinnern: "
    + "Das Meer nahm zwei von unseren Booten. " * 12,
    "К сожалению, паром опоздал, и в Вельморе не ждали никого.",
    "Question: What did the mayor refuse?\nAnswer: I'm sorry, he said, but I can't sign it.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_recognised(text: str) -> None:
    assert looks_like_refusal(text)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_apologise_are_not_refusals(text: str) -> None:
    assert not looks_like_refusal(text)
