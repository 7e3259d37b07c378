"""The callings, spells, monsters and items of the realm. Tables only."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["CALLINGS", "ITEMS", "MOODS", "SHOPS", "SPECIES", "SPELLS", "Calling", "Item", "Species", "Spell"]


class Calling(NamedTuple):
    """A hero's profession. It decides points, spells and the first weapon."""

    title: str
    life: int
    """Life points at level 1."""
    life_per_level: int
    mana: int
    """Mana points at level 1; 0 for a calling without spells."""
    mana_per_level: int
    swings: int
    """Attacks in a fight round at level 1."""
    weapon: str
    """Key of the first weapon in `ITEMS`."""


class Species(NamedTuple):
    """A kind of monster."""

    name: str
    life: int
    """Life points, before the mood changes them."""
    damage: tuple[int, int]
    """Least and most damage of an attack."""
    hit_chance: float
    experience: int
    """Experience points for killing it, shared by all who fight it."""
    herrings: int
    """Most silver herrings that it leaves."""
    arrival: str
    """Verb for coming into a room: "scurries in"."""
    attacks: tuple[tuple[str, str], ...]
    """Verbs of each attack: for a hit and for a miss."""
    death: str
    """The line that everyone in the room sees when it dies."""


class Item(NamedTuple):
    """Something that can be carried."""

    name: str
    price: int
    """Silver herrings. A shop pays half."""
    damage: tuple[int, int] = (0, 0)
    """Least and most damage of a hit; (0, 0) unless the item is a weapon."""
    verbs: tuple[tuple[str, str], ...] = ()
    """Verbs for a hit: after "you", and after a name."""
    armour: int = 0
    """Damage absorbed from each hit; 0 unless the item is armour."""
    heals: tuple[int, int] = (0, 0)
    """Least and most life points restored; (0, 0) unless the item is a drink."""

    @property
    def is_weapon(self) -> bool:
        """True if the item is a weapon."""
        return self.damage != (0, 0)

    @property
    def is_drink(self) -> bool:
        """True if the item is a drink."""
        return self.heals != (0, 0)


class Spell(NamedTuple):
    """A spell that wounds a monster or heals a hero."""

    calling: str
    """Title of the calling that knows it."""
    mana: int
    """Mana points that it costs."""
    amount: tuple[int, int]
    """Least and most life points that it takes or gives, before the caster's level is added."""
    heals: bool
    message: str
    """What everyone in the room sees, with `{caster}` and `{target}`."""


CALLINGS: Mapping[str, Calling] = {
    "w": Calling("Wrecker", 52, 9, 0, 0, 3, "gaff"),
    "p": Calling("Poacher", 46, 8, 0, 0, 3, "knife"),
    "l": Calling("Lampwright", 36, 5, 16, 5, 1, "staff"),
    "d": Calling("Hedge Doctor", 40, 6, 14, 5, 2, "staff"),
}
"""Callings by the letter that a newcomer types."""

SPELLS: Mapping[str, Spell] = {
    "spark": Spell("Lampwright", 3, (6, 14), False, "A blue spark leaps from {caster} to {target}"),
    "flare": Spell("Lampwright", 7, (13, 28), False, "White flame pours from the hands of {caster} over {target}"),
    "mend": Spell("Hedge Doctor", 4, (9, 18), True, "Green warmth passes from {caster} to {target}"),
    "nettle": Spell("Hedge Doctor", 3, (5, 11), False, "Nettles spring up at a word from {caster} and lash {target}"),
}

MOODS: Mapping[str, float] = {
    "": 1.0,
    "small": 0.7,
    "lean": 0.85,
    "sodden": 0.95,
    "angry": 1.1,
    "scarred": 1.2,
    "huge": 1.4,
}
"""First word of a monster's name, and the factor by which it changes the monster's life points."""

SPECIES: Mapping[str, Species] = {
    "rat": Species(
        "quay rat",
        14,
        (1, 4),
        0.55,
        8,
        3,
        "scurries in",
        (("nips", "snaps at"), ("gnaws", "leaps at")),
        "The quay rat rolls over with its pink feet in the air.",
    ),
    "crab": Species(
        "tar crab",
        20,
        (1, 5),
        0.5,
        11,
        4,
        "sidles in",
        (("pinches", "clacks at"),),
        "The tar crab folds up like a badly made box.",
    ),
    "gull": Species(
        "gutter gull",
        16,
        (1, 5),
        0.5,
        9,
        2,
        "flaps in",
        (("pecks", "swoops at"), ("buffets", "screams at")),
        "The gutter gull drops in a heap of dirty feathers.",
    ),
    "footpad": Species(
        "fog footpad",
        28,
        (2, 7),
        0.55,
        18,
        12,
        "slinks in",
        (("stabs", "jabs at"), ("coshes", "swings a cosh at")),
        "The fog footpad sits down, says a rude word, and is gone.",
    ),
    "hare": Species(
        "witch hare",
        22,
        (1, 6),
        0.5,
        13,
        3,
        "lopes in",
        (("kicks", "kicks out at"), ("scratches", "bounds at")),
        "The witch hare comes apart into twigs and old fur.",
    ),
    "hound": Species(
        "moor hound",
        34,
        (2, 8),
        0.55,
        21,
        5,
        "pads in",
        (("bites", "lunges at"), ("mauls", "snarls at")),
        "The moor hound lies down as if by a fire, and does not rise.",
    ),
    "boar": Species(
        "gorse boar",
        44,
        (3, 9),
        0.5,
        27,
        6,
        "crashes in",
        (("gores", "charges at"),),
        "The gorse boar ploughs a last furrow with its snout.",
    ),
    "wight": Species(
        "mist wight",
        40,
        (3, 10),
        0.55,
        31,
        14,
        "drifts in",
        (("chills", "reaches for"), ("claws", "claws at")),
        "The mist wight thins, and there was never anything there.",
    ),
    "toad": Species(
        "bell toad",
        36,
        (2, 8),
        0.5,
        22,
        5,
        "hops in",
        (("slaps", "flicks its tongue at"), ("squashes", "jumps at")),
        "The bell toad lets out one clear note and goes flat.",
    ),
    "leech": Species(
        "mire leech",
        30,
        (3, 9),
        0.5,
        20,
        4,
        "oozes in",
        (("drains", "gropes for"),),
        "The mire leech bursts, and everybody wishes it had not.",
    ),
    "wisp": Species(
        "marsh candle",
        34,
        (4, 11),
        0.5,
        30,
        9,
        "bobs in",
        (("scorches", "flickers at"), ("burns", "spits at")),
        "The marsh candle goes out with a thread of smoke.",
    ),
    "eel": Species(
        "walking eel",
        52,
        (4, 10),
        0.5,
        36,
        10,
        "slithers in",
        (("whips", "whips at"), ("bites", "gapes at")),
        "The walking eel ties itself in a knot and stops.",
    ),
    "spider": Species(
        "stair spider",
        46,
        (4, 10),
        0.5,
        34,
        6,
        "drops in",
        (("stings", "darts at"), ("bites", "rears at")),
        "The stair spider curls up like a burnt glove.",
    ),
    "imp": Species(
        "soot imp",
        40,
        (4, 12),
        0.55,
        37,
        12,
        "tumbles in",
        (("scalds", "throws cinders at"), ("claws", "cackles at")),
        "The soot imp sneezes itself into a small black cloud.",
    ),
    "wrecker": Species(
        "drowned wrecker",
        66,
        (5, 13),
        0.55,
        52,
        22,
        "wades in",
        (("hooks", "swings a boathook at"), ("throttles", "clutches at")),
        "The drowned wrecker pours away between the stones.",
    ),
    "keeper": Species(
        "lampless keeper",
        90,
        (6, 15),
        0.55,
        78,
        40,
        "shuffles in",
        (("strikes", "swings a dead lantern at"), ("blinds", "stares at")),
        "The lampless keeper whispers a date, and the tower sighs.",
    ),
    "moth": Species(
        "crypt moth",
        44,
        (4, 11),
        0.5,
        36,
        4,
        "flutters in",
        (("dusts", "flutters at"), ("smothers", "settles on")),
        "The crypt moth falls to powder on the floor.",
    ),
    "rattler": Species(
        "bone rattler",
        60,
        (5, 13),
        0.55,
        50,
        15,
        "clatters in",
        (("clubs", "swings a thighbone at"), ("rakes", "rattles at")),
        "The bone rattler comes down like a dropped tray.",
    ),
    "warden": Species(
        "grave warden",
        82,
        (6, 15),
        0.55,
        70,
        24,
        "strides in",
        (("cleaves", "swings a spade at"), ("shoves", "bars the way of")),
        "The grave warden kneels, digs a little, and lies down in it.",
    ),
    "ringer": Species(
        "deaf ringer",
        110,
        (7, 17),
        0.55,
        96,
        45,
        "limps in",
        (("flogs", "cracks a bell rope at"), ("butts", "runs at")),
        "The deaf ringer tilts his head, hears something at last, and dies.",
    ),
}

ITEMS: Mapping[str, Item] = {
    "gaff": Item("boat gaff", 30, (3, 9), (("gaff", "gaffs"), ("hook", "hooks"))),
    "knife": Item("filleting knife", 24, (2, 8), (("stab", "stabs"), ("slice", "slices"))),
    "staff": Item("blackthorn staff", 20, (2, 7), (("crack", "cracks"), ("thump", "thumps"))),
    "cutlass": Item("notched cutlass", 120, (5, 12), (("slash", "slashes"), ("hew", "hews"))),
    "harpoon": Item("whalebone harpoon", 260, (7, 15), (("spear", "spears"), ("skewer", "skewers"))),
    "mallet": Item("caulking mallet", 150, (4, 14), (("pound", "pounds"), ("flatten", "flattens"))),
    "jersey": Item("oiled jersey", 40, armour=1),
    "coat": Item("tarred coat", 110, armour=2),
    "plate": Item("turtle plate", 280, armour=4),
    "tea": Item("flask of bog tea", 12, heals=(10, 20)),
    "cordial": Item("samphire cordial", 30, heals=(25, 45)),
    "rope": Item("coil of rope", 8),
    "lamp": Item("tallow lamp", 14),
    "button": Item("brass button", 10),
    "comb": Item("bone comb", 16),
    "shell": Item("singing shell", 26),
    "amber": Item("lump of amber", 44),
    "locket": Item("drowned locket", 60),
}

SHOPS: Mapping[str, Sequence[str]] = {
    "chandler": ("rope", "lamp", "jersey", "coat", "knife"),
    "smithy": ("gaff", "staff", "cutlass", "mallet", "harpoon", "plate"),
    "stillroom": ("tea", "cordial"),
}
"""Items that each shop sells, by the key of its room. Every shop buys anything."""

TREASURE = ("button", "comb", "rope", "shell", "amber", "locket")
"""Items that a dead monster may leave."""
