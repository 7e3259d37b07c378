"""The areas of the realm and their rooms: titles, prose, monsters. Tables only."""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["AREAS", "Area", "Room"]


class Room(NamedTuple):
    """The look of a room."""

    title: str
    """Unique in the realm."""
    prose: str
    """Shown on the first visit and on a closer look."""
    roof: bool = False
    """Sky and weather are out of sight."""


class Area(NamedTuple):
    """A neighbourhood: its rooms by key, and the monsters in them."""

    rooms: Mapping[str, Room]
    species: tuple[str, ...] = ()
    """Keys of `SPECIES` in the catalog."""
    population: int = 0
    """Number of monsters that live here at a time."""
    min_level: int = 1
    """Lowest level at which a sensible hero hunts here."""


# The town of Wrackhaven: safe ground, shops, and the chapel where fallen heroes wake.
_TOWN = {
    "chapel": Room(
        "Chapel of the Quiet Bell",
        "Candle ends gutter on a hundred ledges, one for every boat that never came home. The great bell hangs "
        "wrapped in sailcloth, for nobody in Wrackhaven has dared to ring it since the flood. A sister in grey sweeps "
        "sand from the flagstones.",
        roof=True,
    ),
    "cloister": Room(
        "Chapel Garden",
        "Samphire and sea kale grow in neat beds between whale ribs set upright like arches. Bees hum about three "
        "straw hives, and a low door in the wall breathes cold air from below.",
    ),
    "square": Room(
        "Bellwether Square",
        "Four streets meet around a stone ram with one horn worn smooth by lucky hands. A crier's box stands empty "
        "beside the pump, and notices flap on the board by the chapel steps.",
    ),
    "market": Room(
        "Herring Market",
        "Trestles run in rows beneath patched awnings, silver with scales and loud with gulls. The price of "
        "everything is chalked in fish, and the fish are counted twice.",
    ),
    "chandler": Room(
        "Pettifer's Chandlery",
        "Coils of rope, tallow lamps and tarred coats hang so thick from the beams that every customer stoops. A "
        "brass scale stands upon the counter, and a cat sleeps in the scale.",
        roof=True,
    ),
    "smithy": Room(
        "The Bent Anchor Smithy",
        "An anchor folded double by some unspoken storm hangs over the forge. Hooks, blades and ship's nails glow in "
        "the coals while the bellows sigh like surf.",
        roof=True,
    ),
    "stillroom": Room(
        "Mother Sedge's Stillroom",
        "Copper worms drip into bottles of every colour. Bundles of bog myrtle dry overhead, and the air is sweet "
        "enough to sleep in and sharp enough to wake from it.",
        roof=True,
    ),
    "tavern": Room(
        "The Gull and Kettle",
        "Driftwood burns blue and green in the hearth of the only inn that kept its roof. Benches made of broken "
        "masts surround it, and a kettle the size of a barrel is never off the boil.",
        roof=True,
    ),
    "snug": Room(
        "The Snug Behind the Bar",
        "Two settles and a table carved with four hundred names fill this little room to the door. Someone has left a "
        "game of bone draughts half played.",
        roof=True,
    ),
    "ropewalk": Room(
        "Ropewalk Lane",
        "The lane is dead straight and as long as a cable, for that is what was made in it. Hemp dust lies in every "
        "crack, and the spinners walk backwards all day long.",
    ),
    "stair": Room(
        "Fishwives' Stair",
        "Worn steps drop toward the harbour between leaning houses. Washing hangs overhead like signal flags, and "
        "every landing has its stool, its knife and its opinion.",
    ),
    "moorgate": Room(
        "Moorgate",
        "The last arch of the old wall frames the open moor. A watchman warms his hands at a brazier and marks each "
        "traveller with a pebble: black for those who go, white for those who return.",
    ),
    "weir": Room(
        "Weir Street",
        "A millrace runs down the middle of the street and under a dozen doorstep bridges. Ducks have the right of "
        "way, and know it.",
    ),
    "archive": Room(
        "The Drowned Archive",
        "Shelves lean like tired men under books swollen to twice their size. A clerk turns wet pages with a palette "
        "knife, copying what the sea has left to be read.",
        roof=True,
    ),
}

# The quays: rats, crabs and thieves.
_QUAYS = {
    "fishquay": Room(
        "Fish Quay",
        "Cobbles slick with brine slope to the water between bollards shaped like sleeping seals. Creels are stacked "
        "shoulder high, and something small is always moving behind them.",
    ),
    "longpier": Room(
        "The Long Pier",
        "Grey planks march out over the harbour on legs furred with weed. Each gap between them shows a strip of "
        "green water, and now and then an eye.",
    ),
    "pierend": Room(
        "Pier's End",
        "A lantern post and an iron ladder mark the place where the planks give up. Far out the dark lighthouse "
        "stands on its spit like a finger laid on lips.",
    ),
    "netloft": Room(
        "Net Loft",
        "Brown nets hang in veils from the rafters, heavy with cork and dust. Whoever mended the last one left the "
        "needle in it, and that was years ago.",
        roof=True,
    ),
    "tarshed": Room(
        "Tar Shed",
        "Black kettles squat over cold hearths, and the floor holds on to every boot. The walls are so soaked in "
        "pitch that the rain has forgotten how to get in.",
        roof=True,
    ),
    "slip": Room(
        "Shipwright's Slip",
        "The ribs of an unfinished ketch rise from the slip like a stranded whale. Shavings blow about, although no "
        "plane has been heard here since the flood.",
    ),
    "customs": Room(
        "Old Customs House",
        "The counter is still here, and the bars above it, and the notice that forbids whistling. Beyond them the "
        "strongroom gapes, as empty as a drum.",
        roof=True,
    ),
    "culvert": Room(
        "Tidal Culvert",
        "A brick throat swallows the millrace and coughs it up twice a day. A ledge runs along one side, just wide "
        "enough for a rat with a grievance.",
        roof=True,
    ),
}

# Sallow Moor, north of the town gate.
_MOOR = {
    "moorroad": Room(
        "Moor Road",
        "The road is two ruts with heather between them. Milestones count down to a town that is not there any more, "
        "and lapwings cry over both.",
    ),
    "cairn": Room(
        "Shepherd's Cairn",
        "A heap of white stones stands taller than a man, and every traveller adds one. A crook of ash wood leans in "
        "the top, wound about with faded ribbon.",
    ),
    "heath": Room(
        "Burnt Heath",
        "Last summer's fire has left a plain of black stalks and pink new shoots. Ash puffs up at each step, and "
        "hides whatever made the other tracks.",
    ),
    "stones": Room(
        "The Leaning Stones",
        "Nine stones lean inward as though to hear a secret. The grass in the ring is short and soft, and no sheep "
        "has ever been seen to crop it.",
    ),
    "tarn": Room(
        "Blackwater Tarn",
        "The little lake is so still that the clouds seem to lie at its bottom. A rotten jetty points at a boat that "
        "has sunk at its mooring.",
    ),
    "fold": Room(
        "Ruined Sheepfold",
        "Dry walls make a broken square against the wind. Wool still clings to the thorn by the gap, and bones too "
        "large for any sheep lie in the nettles.",
    ),
    "ridge": Room(
        "Windy Ridge",
        "From here the whole shire can be seen: harbour, marsh and light, and the sea that wants all three. The wind "
        "pushes like a crowd at a fair.",
    ),
    "hollow": Room(
        "Gorse Hollow",
        "Yellow gorse closes over the path until it is a tunnel full of thorns. It smells of warm biscuit and of "
        "something that has been digging.",
    ),
    "peat": Room(
        "Peat Cutters' Track",
        "Black bricks of peat are stacked along the track in walls with windows in them. The spades stand ready, yet "
        "the cutters have gone home early this year.",
    ),
    "gibbet": Room(
        "Crow Gibbet",
        "An iron cage creaks on a crooked post at a place where no roads cross. It holds a scarecrow in a good blue "
        "coat, and the crows sit on it and are not scared.",
    ),
}

# Candlemire, the marsh east of the moor.
_MARSH = {
    "causeway": Room(
        "Sunken Causeway",
        "Flat stones lead from tussock to tussock a hand below the water. Stakes with rags of red cloth show where "
        "the next one ought to be.",
    ),
    "reeds": Room(
        "Whispering Reeds",
        "Reeds twice the height of a man close in on both sides. They whisper in a breeze that cannot be felt, and "
        "stop when anyone tries to listen.",
    ),
    "pool": Room(
        "Candle Pool",
        "Small blue flames stand upon the water and lean together when a stranger comes. The mud around the pool has "
        "kept the print of every boot but one.",
    ),
    "hummock": Room(
        "Willow Hummock",
        "One old willow holds this mound together with its roots. Spoons hang in its branches by the dozen, tinkling, "
        "in payment for some forgotten favour.",
    ),
    "boards": Room(
        "Rotten Boardwalk",
        "Half of the planks are gone and the other half are thinking about it. The rail is new, which is kind, and "
        "has teeth marks, which is not.",
    ),
    "punt": Room(
        "Abandoned Punt",
        "A flat boat lies wedged between two clumps of sedge, with a fine view of nothing. Its pole stands upright in "
        "the mud a long way off.",
    ),
    "mere": Room(
        "Grey Mere",
        "The open water has no far side, only a place where the grey turns over. Rings spread in the middle of it "
        "without any cause.",
    ),
    "eelhut": Room(
        "Eel Catcher's Hut",
        "Wicker traps hang around a stove of beaten tin. A stew of unknown age sits on it, and a chair has been "
        "pushed back from the table in some haste.",
        roof=True,
    ),
    "bogoak": Room(
        "The Bog Oak",
        "A trunk as black as coal lies half out of the peat, felled before there were axes. Toads sit along it in "
        "order of size.",
    ),
    "flats": Room(
        "Mud Flats",
        "The marsh ends in a shining plain, ribbed like the roof of a dog's mouth. The tide is far out and coming "
        "back at the speed of a horse.",
    ),
}

# The dark lighthouse on its spit.
_LIGHT = {
    "spit": Room(
        "Shingle Spit",
        "A bank of stones runs out to sea and grinds its teeth at every wave. Timbers of three wrecks have been "
        "stacked above the tide line, sorted with care.",
    ),
    "lightfoot": Room(
        "Foot of the Light",
        "The tower goes up until it leans over the eye. Its iron door has been painted shut, then broken open, and "
        "then painted shut again with the lock hanging off.",
    ),
    "oilstore": Room(
        "Oil Store",
        "Stone vats line the wall, every one dry but for the smell. Footprints in soot, too narrow and with too many "
        "toes, lead from vat to vat.",
        roof=True,
    ),
    "lowstair": Room(
        "Lower Stair",
        "Stone steps wind up along the wall without a rail. Old webs have been pulled across the well of the tower, "
        "in a pattern very like a net.",
        roof=True,
    ),
    "watchroom": Room(
        "Watch Room",
        "A bunk, a desk and a clock with one hand. The log lies open, and the same line has been written for eleven "
        "years: light not lit, nobody came.",
        roof=True,
    ),
    "highstair": Room(
        "Upper Stair",
        "The stair narrows to a ladder of iron rungs, warm to the touch. A draught comes down it with the sound of "
        "someone counting.",
        roof=True,
    ),
    "lamproom": Room(
        "Lamp Room",
        "The great lens fills the room like a cut jewel, black with smoke on the inside. Each of its hundred faces "
        "shows the visitor, and one of them shows somebody else.",
        roof=True,
    ),
    "gallery": Room(
        "Wind Gallery",
        "A balcony no wider than a coffin runs around the lamp. The whole night lies below, and the rail is mostly "
        "rust and good intentions.",
    ),
}

# The catacombs beneath the chapel.
_CRYPT = {
    "undercroft": Room(
        "Undercroft Steps",
        "The steps are hollow in the middle and wet at the edge. Names have been cut into each riser, and the lowest "
        "ones are under water.",
        roof=True,
    ),
    "ossuary": Room(
        "Tallow Ossuary",
        "Skulls stand on shelves with a candle in each, and somebody lights them. The wax has run down and joined "
        "them into one long family.",
        roof=True,
    ),
    "niches": Room(
        "Gallery of Niches",
        "The dead lie in the wall like loaves in an oven, feet outward. Some of the shrouds are new, and some of the "
        "niches are tidy in the way of a bed just left.",
        roof=True,
    ),
    "drywell": Room(
        "The Dry Well",
        "A round shaft drops out of the dark above and goes on into the dark below. A bucket hangs level with the "
        "floor, half full of teeth.",
        roof=True,
    ),
    "choir": Room(
        "Choir of Bones",
        "Twelve skeletons have been wired upright in the stalls, holding hymn sheets. The sheets are blank, and each "
        "mouth is open at the same vowel.",
        roof=True,
    ),
    "flooded": Room(
        "Flooded Passage",
        "Cold water stands to the knee and hides the floor completely. Pale shrimps scatter from each step, and bump "
        "against something that does not move.",
        roof=True,
    ),
    "ringers": Room(
        "Ringers' Tomb",
        "Six stone ringers lie in a circle, each with a rope in the fist. The ropes run up through holes in the roof "
        "and, from time to time, grow taut.",
        roof=True,
    ),
    "crawl": Room(
        "Narrow Crawl",
        "The passage is a slot that must be taken on the elbows. Scratches along both sides show that it has been "
        "taken before, in a hurry, the other way.",
        roof=True,
    ),
    "saltvault": Room(
        "Salt Vault",
        "Walls, floor and roof are salt, cut square and gleaming. The faces of drowned men look out of it, very well "
        "preserved and not very pleased.",
        roof=True,
    ),
    "silentbell": Room(
        "The Silent Bell",
        "Here lies the twin of the bell above, mouth down and as wide as a room. It hums without a sound, and the "
        "dust dances upon it in rings.",
        roof=True,
    ),
}

AREAS: Mapping[str, Area] = {
    "town": Area(_TOWN),
    "quays": Area(_QUAYS, ("rat", "crab", "gull", "footpad"), 18, 1),
    "moor": Area(_MOOR, ("hare", "hound", "boar", "wight"), 22, 2),
    "marsh": Area(_MARSH, ("toad", "leech", "wisp", "eel"), 22, 3),
    "light": Area(_LIGHT, ("spider", "imp", "wrecker", "keeper"), 17, 4),
    "crypt": Area(_CRYPT, ("moth", "rattler", "warden", "ringer"), 22, 5),
}
