"""Two invented stories with labelled claims, to measure a judge by before it is believed.

A claim is salient when it names a step of the plot or the point of the story, cosmetic when the
story would be the same with another detail in its place. False claims are of the kinds that models
make: two people or things exchanged, a number or place changed, an outcome turned round, something
likely that the text does not say. Stories, claims and labels are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from steep.documents.document import Document

Label = Literal["false", "salient", "cosmetic"]


class LabeledClaim(NamedTuple):
    """A claim about a document, and the verdict that is right."""

    document: Document
    claim: str
    label: Label


_LAMP = Document(
    id="lamp-at-orrin-head",
    title="The Lamp at Orrin Head",
    author="Marta Quill",
    year=1934,
    text="""\
For thirty-one years Tobias Venn kept the lamp at Orrin Head, and for thirty-one years no ship was \
lost on the Teeth, the row of black rocks below it. In the spring a letter came from the harbour \
office in Sallow. A new electric beacon would be built on the island across the sound, it said, \
and the old lamp would go dark on the first of October. Tobias read it twice, folded it into his \
tobacco tin, and told nobody, not even his niece Ilse, who came every Sunday with bread and a jar \
of plum jam.

Ilse was nineteen and apprenticed to the clockmaker in Sallow. It was she who found the letter, \
looking for matches. She did not scold him. She walked to the island at low water, with a notebook \
under her arm, and watched the engineers raise their mast. When she came back she was pale. The \
beacon stood too far north, she said: from a ship coming round the cape in the dark, the Teeth \
would lie straight between the ship and the light. A captain steering for it would steer onto the \
rocks.

They went to the harbour office together. Mr Crale, the harbour master, heard them for five \
minutes by his silver watch. The drawings had been approved in the capital, he said, and he would \
not have a clockmaker's girl correct them.

On the first of October the beacon was lit, and Tobias was ordered to put out his lamp. He climbed \
the ninety-four steps, trimmed the wick, and lit it as on any other night. At two in the morning \
the mail steamer Constance came round the cape in heavy rain. Her captain saw two lights where the \
chart had one, was puzzled, and stopped his engines to think. So he found the Teeth by their foam, \
two hundred yards ahead, and lived.

In November the beacon was moved. Mr Crale signed the order without a word of thanks. Tobias was \
fined six crowns for disobedience, and Ilse paid the fine from her wages before he could. He gave \
her the key of the lamp house, and she hung it over her bench among the clocks.""",
)

_BEES = Document(
    id="bees-of-hallam-street",
    title="The Bees of Hallam Street",
    author="Piers Odell",
    year=1957,
    text="""\
When the council of Merrow closed the last of its parks to make room for a car works, Dunya Sorel \
carried her two hives up to the roof of the tenement at 40 Hallam Street. She did it at night, \
with the caretaker, old Ferris, holding the lantern and complaining of his knees. Bees were \
forbidden in the town since the spring; the council's chemist, Dr Aldous Penn, had written that \
they carried the coughing sickness from house to house.

Forty families lived under that roof, and one by one they found out. Mrs Okoro on the third floor \
planted beans in her gutters. The twins from number twelve grew clover in a bathtub. By July there \
was something green on every sill, and nobody said a word to the inspector, a shy young man named \
Lowell who came on Thursdays and never looked up.

In August the sickness came to Hallam Street all the same. Dr Penn sent men with smoke to burn \
every hive within ten streets. But Dunya had been a hospital clerk before she was a widow, and she \
had kept a list: who fell ill, on what day, and where they drew their water. She laid it before \
Lowell on the kitchen table. All the sick drank from the pump behind the car works; of those who \
drank from the cistern on the roof, beside the hives, not one had coughed.

Lowell read the list three times. Then he did what he had never done, and looked up. He went to \
the works himself that night and found the drain from the paint shop, running brown into the well \
of the pump. On Friday he chained the pump handle, without any order, and put the key in the \
river.

The sickness ended in a fortnight. Dr Penn left Merrow for a post in the south and never took back \
a line of his report. The council did not thank Dunya, but it struck out the law against bees, in \
a session of four minutes, between the drains and the tramway. Ferris carried the hives down again \
and complained of his knees. In the yard the families had dug a garden where the coal used to lie, \
and Lowell, in his shirt sleeves, was planting thyme.""",
)

_CLAIMS: tuple[tuple[Document, Label, tuple[str, ...]], ...] = (
    (
        _LAMP,
        "salient",
        (
            "Tobias Venn is ordered to put out the lamp that he has kept for decades.",
            "A new electric beacon is to take the place of the old lamp.",
            "Ilse finds out that the beacon has been put in a dangerous place.",
            "A ship that steered for the beacon would run onto the rocks.",
            "The harbour master refuses to listen to the warning.",
            "Tobias lights his lamp although he has been ordered not to.",
            "The captain stops his ship because he sees two lights and not one.",
            "The steamer is saved from the rocks.",
            "In the end the beacon is moved.",
        ),
    ),
    (
        _LAMP,
        "cosmetic",
        (
            "Ilse brings plum jam on Sundays.",
            "Tobias keeps the letter in his tobacco tin.",
            "Ilse is nineteen years old.",
            "Mr Crale owns a silver watch.",
            "There are ninety-four steps up to the lamp.",
            "Ilse carries a notebook when she walks to the island.",
            "Ilse is looking for matches when she finds the letter.",
            "It rains when the steamer comes round the cape.",
        ),
    ),
    (
        _LAMP,
        "false",
        (
            "Ilse is the daughter of Tobias.",
            "The steamer Constance is wrecked on the Teeth.",
            "Mr Crale thanks Tobias for saving the ship.",
            "Tobias puts out his lamp on the first of October, as he was told.",
            "The beacon is built too far south.",
            "Tobias pays the fine himself.",
            "The beacon is never moved.",
            "Ilse rows to the island in a boat.",
            "Ilse becomes the next keeper of the lamp at Orrin Head.",
        ),
    ),
    (
        _BEES,
        "salient",
        (
            "Dunya hides her hives on the roof of a tenement because bees are forbidden.",
            "Bees are blamed for spreading the coughing sickness.",
            "The families in the house keep the secret of the bees.",
            "Dunya's list shows that the sick all drank from the same pump.",
            "The inspector finds waste from the car works running into the well.",
            "Lowell closes the pump without being told to.",
            "The sickness ends after the pump is closed.",
            "The law against bees is struck out.",
        ),
    ),
    (
        _BEES,
        "cosmetic",
        (
            "Ferris complains of his knees.",
            "The twins grow clover in a bathtub.",
            "Mrs Okoro lives on the third floor.",
            "The inspector comes on Thursdays.",
            "The tenement stands at 40 Hallam Street.",
            "The council's session takes four minutes.",
            "Ferris holds a lantern while the hives are carried up.",
            "Lowell plants thyme in the yard.",
        ),
    ),
    (
        _BEES,
        "false",
        (
            "The bees carried the sickness from house to house.",
            "Dr Penn admits that his report was wrong.",
            "Those who drank from the cistern on the roof fell ill first.",
            "Lowell reports Dunya to the council.",
            "Dunya had been a nurse before she was a widow.",
            "The council orders Lowell to chain the pump.",
            "Dunya keeps five hives on the roof.",
            "The council thanks Dunya for ending the sickness.",
            "Dunya and Lowell marry at the end.",
        ),
    ),
)  # fmt: skip


def labeled_claims() -> tuple[LabeledClaim, ...]:
    """All labelled claims, story by story; by the alphabet, so that labels are mixed."""
    rows = [LabeledClaim(*each) for each in _rows()]
    return tuple(sorted(rows, key=lambda row: (row.document.id, row.claim)))


def _rows() -> Iterator[tuple[Document, str, Label]]:
    for document, label, claims in _CLAIMS:
        for claim in claims:
            yield document, claim, label
