"""Five solved questions about famous books, which show a base model how to answer.

The books, questions, thought processes and contexts are our own; the right letters, C, B, A, A, D,
and the numbers of contexts, 1, 2, 3, 3, 5, are the paper's (section 4.1 and appendix F). Where
several options may be right, two of the five give way to questions that have several.
"""

from __future__ import annotations

from dataclasses import dataclass

from steep.documents.document import Document


@dataclass(frozen=True, slots=True)
class Example:
    """A solved question; `gold` counts options from 0, `contexts` are passages of the book."""

    book: Document
    question: str
    options: tuple[str, ...]
    gold: tuple[int, ...]
    thoughts: str
    contexts: tuple[str, ...]
    answer: str


def _book(title: str, author: str, year: int) -> Document:
    return Document(id=title, title=title, text="", author=author, year=year)


_PRIDE = Example(
    book=_book("Pride and Prejudice", "Jane Austen", 1813),
    question="What is the estate of Mr. Darcy called?",
    options=("Longbourn", "Netherfield", "Pemberley", "Rosings"),
    gold=(2,),
    thoughts=(
        "Longbourn is the home of the Bennets, Netherfield is the house that Mr. Bingley rents, "
        "and Rosings belongs to Lady Catherine de Bourgh, an aunt of Mr. Darcy. His own estate "
        "lies in Derbyshire, where Elizabeth sees it with the Gardiners, and is called Pemberley. "
        "So C is right."
    ),
    contexts=(
        "Travelling through Derbyshire with her uncle and aunt, Elizabeth is shown over Pemberley. "
        "Its old housekeeper has known the master, Mr. Darcy, since he was four years old.",
    ),
    answer="Pemberley",
)

_FRANKENSTEIN = Example(
    book=_book("Frankenstein", "Mary Shelley", 1818),
    question="To whom does Robert Walton write the letters that open the story?",
    options=("Victor Frankenstein", "His sister Margaret", "Elizabeth Lavenza", "Henry Clerval"),
    gold=(1,),
    thoughts=(
        "Victor Frankenstein is the stranger whom Walton takes aboard, so he cannot be the reader "
        "of the first letters. Elizabeth Lavenza and Henry Clerval belong to Victor's life in "
        "Geneva and Ingolstadt, and Walton never meets them. He writes home to England, to his "
        "sister, Margaret Saville. So B is right."
    ),
    contexts=(
        "Walton tells his sister Margaret that he has hired a ship in Archangel and found a crew "
        "that is used to the ice.",
        "Henry Clerval comes to Ingolstadt and nurses Victor through months of fever.",
    ),
    answer="his sister Margaret",
)

_TREASURE = Example(
    book=_book("Treasure Island", "Robert Louis Stevenson", 1883),
    question="Who tells most of the story?",
    options=("Jim Hawkins", "Long John Silver", "Dr. Livesey", "Captain Smollett"),
    gold=(0,),
    thoughts=(
        "Dr. Livesey tells three chapters about the stockade, but no more. Long John Silver, the "
        "cook, and Captain Smollett, the master of the Hispaniola, are only seen from outside. "
        "From the Admiral Benbow to the voyage home it is the innkeeper's son, Jim Hawkins, who "
        "says 'I'. So A is right."
    ),
    contexts=(
        "I had been watching the captain's sea chest ever since he came to our inn, the Admiral "
        "Benbow, and my mother now looked for its key.",
        "Dr. Livesey takes up the tale where the boat reaches the stockade, and tells of the "
        "landing for three chapters.",
        "From inside the apple barrel I, Jim Hawkins, heard Silver tell the youngest hand what was "
        "to become of us.",
    ),
    answer="Jim Hawkins",
)

_DRACULA = Example(
    book=_book("Dracula", "Bram Stoker", 1897),
    question="In which harbour does the ship that carries the Count to England run aground?",
    options=("Whitby", "Exeter", "Galatz", "Varna"),
    gold=(0,),
    thoughts=(
        "Varna is where the Demeter sets out, and Galatz is where the Count's box lands at the "
        "end, on his flight home. Exeter is the town of Mr. Hawkins, the solicitor for whom "
        "Jonathan Harker works. The Demeter comes in with a dead man at the wheel and runs aground "
        "below the East Cliff of Whitby. So A is right."
    ),
    contexts=(
        "The Demeter left Varna with a cargo of sand and boxes of earth; one after another her men "
        "were gone in the morning.",
        "All Whitby watched the strange schooner run before the storm into the harbour, the hands "
        "of a dead man bound to her wheel.",
        "A telegram said that the Czarina Catherine had passed Varna by and entered Galatz.",
    ),
    answer="Whitby",
)

_WHALE = Example(
    book=_book("Moby-Dick", "Herman Melville", 1851),
    question="On which ship do Ishmael and Queequeg sign on?",
    options=("The Rachel", "The Jeroboam", "The Samuel Enderby", "The Pequod"),
    gold=(3,),
    thoughts=(
        "The Jeroboam and the Samuel Enderby are whalers that are met at sea, the second with a "
        "captain who lost an arm to the same whale. The Rachel, looking for her lost boat, picks "
        "Ishmael up at the very end. In Nantucket the two friends sign on for the voyage of Ahab's "
        "ship, the Pequod. So D is right."
    ),
    contexts=(
        "The Rachel's captain begs for help in the search for a boat in which his own son was.",
        "In Nantucket Ishmael looks over three ships that are about to sail and settles on the "
        "Pequod, whose owners, Peleg and Bildad, take him on.",
        "A mad prophet rules the crew of the Jeroboam, and sickness keeps her boat at a distance.",
        "The captain of the Samuel Enderby laughs about his arm of ivory and wants no second "
        "meeting with the white whale.",
        "Having seen Queequeg throw a harpoon, Captain Peleg wants him for the Pequod at once.",
    ),
    answer="the Pequod",
)

_KILLED = Example(
    book=_FRANKENSTEIN.book,
    question="Who is killed by the creature?",
    options=("Robert Walton", "William Frankenstein", "Henry Clerval", "Elizabeth Lavenza"),
    gold=(1, 2, 3),
    thoughts=(
        "Robert Walton sees the creature in the cabin of his ship, and lives to tell of it. The "
        "first to die is William, Victor's little brother. Henry Clerval is strangled after Victor "
        "has torn up his second work, and Elizabeth Lavenza on the night of her wedding. So B, C "
        "and D are right."
    ),
    contexts=(
        "A letter from home tells Victor that William, his youngest brother, lies dead in the "
        "meadow, with the marks of fingers on his neck.",
        "Walton comes into the cabin and finds the creature bent over the dead Victor; it speaks "
        "of Clerval, of Elizabeth, and of its remorse.",
    ),
    answer="William, Henry Clerval and Elizabeth",
)

_DIARIES = Example(
    book=_DRACULA.book,
    question="From whose journals is the book put together?",
    options=("Jonathan Harker", "Quincey Morris", "Mina Murray", "Dr. Seward", "Count Dracula"),
    gold=(0, 2, 3),
    thoughts=(
        "The Count writes letters, but no journal of his is shown, and Quincey Morris leaves a "
        "telegram or two. Jonathan Harker keeps a journal in shorthand, so does Mina Murray, and "
        "Dr. Seward speaks his into a phonograph. So A, C and D are right."
    ),
    contexts=(
        "Jonathan writes his journal in shorthand, so that the Count, who reads all letters, could "
        "make nothing of it.",
        "Dr. Seward has never thought how one might find a certain passage on his wax cylinders; "
        "Mina, whose own journal is in shorthand, offers to copy them all out.",
        "Quincey Morris, a Texan of few words, sends a telegram and keeps watch.",
    ),
    answer="Jonathan Harker, Mina Murray and Dr. Seward",
)

ONE_RIGHT = (_PRIDE, _FRANKENSTEIN, _TREASURE, _DRACULA, _WHALE)
SEVERAL_RIGHT = (_PRIDE, _KILLED, _TREASURE, _DIARIES, _WHALE)
