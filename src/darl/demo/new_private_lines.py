"""New lines of business for private people: pet, travel and gadget, asked for in whole sentences.

Nothing of this is in the training set. The vocabulary is another one, and so is the phrasing: people tell
what happens to them and ask what would pay.
"""

from __future__ import annotations

from darl.demo.insurance import Domain, Need, Product
from darl.demo.lookalikes import LOOKALIKES

PET = Domain(
    "pet",
    products=(
        Product(
            "vet",
            ("vet bill insurance", "something for the vet's invoices", "a policy for trips to the vet"),
            ("Veterinary Fees Policy", "Paws Treatment Plan", "Animal Clinic Protection"),
        ),
        Product(
            "bite",
            ("dog liability", "something for when he bites a neighbour", "insurance against what my animal breaks"),
            ("Animal Owner Liability", "Bite & Damage Policy", "Keeper's Responsibility Plan"),
        ),
        Product(
            "horse",
            ("horse insurance", "something for my pony", "a policy on a mare"),
            ("Equine Policy", "Stable & Saddle Plan", "Horse and Pony Protection"),
        ),
    ),
    needs=(
        Need(
            "old_animal",
            ("she is getting on a bit", "he turns fourteen in may", "the old boy has grey whiskers"),
            ("no age ceiling for the animal", "veterans on four legs accepted"),
            "animals above nine years",
        ),
        Need(
            "several",
            ("there are five of them here", "we keep three and a litter is coming", "i own a whole bunch"),
            ("one contract for the entire pack", "second and further animals ride free"),
            "more than one animal",
        ),
        Need(
            "rescue",
            ("he came out of a shelter", "nobody knows her history", "we adopted a stray last month"),
            ("papers and past not required", "rehomed animals welcome"),
            "animals of unknown origin",
        ),
        Need(
            "shows",
            ("we compete at weekends", "she goes to shows and wins rosettes", "i enter tournaments with mine"),
            ("ring, course and judging days included", "holds during contests"),
            "contests",
        ),
        Need(
            "holiday",
            ("we drag ours along to france", "he crosses the channel with us every august", "mine comes on every trip"),
            ("extends to stays beyond the border", "passport holders on four legs protected"),
            "stays beyond the border",
        ),
        Need(
            "tenner",
            ("i have got a tenner a month", "money is awfully short right now", "my purse is nearly empty"),
            ("entry tariff at pocket money level", "our thriftiest rate"),
            "reduced rates",
        ),
    ),
    lookalikes=LOOKALIKES["pet"],
)

TRAVEL = Domain(
    "travel",
    products=(
        Product(
            "cancellation",
            (
                "trip cancellation insurance",
                "something for when the vacation falls through",
                "a refund policy for flights",
            ),
            ("Trip Cancellation Policy", "Stay-at-Home Refund Plan", "Booking Costs Protection"),
        ),
        Product(
            "medical",
            ("travel health insurance", "something for doctors on vacation", "a policy for getting ill on tour"),
            ("Travel Medical Policy", "Sick-on-Tour Plan", "Ambulance & Flight-Home Protection"),
        ),
        Product(
            "baggage",
            ("luggage insurance", "something for lost suitcases", "a policy for my bags on the plane"),
            ("Baggage Policy", "Suitcase Plan", "Checked & Carried Luggage Protection"),
        ),
    ),
    needs=(
        Need(
            "ski",
            ("we are off to the slopes", "i snowboard rather badly", "the chalet is booked for february"),
            ("winter sports included", "pistes and lifts are no exception"),
            "winter sports",
        ),
        Need(
            "cruise",
            ("we will be on an ocean liner", "it is two weeks on deck", "our ship calls at nine ports"),
            ("cruises included", "valid between harbours"),
            "cruises",
        ),
        Need(
            "gap_year",
            (
                "i am backpacking for ten months",
                "we quit our jobs to go round the world",
                "it is one very long journey",
            ),
            ("up to 400 days in one go", "sabbaticals welcome"),
            "journeys above eight weeks",
        ),
        Need(
            "diving",
            ("i go diving with sharks", "bungee jumping is on the list", "we climb a volcano"),
            ("adventure activities included", "thrill seekers accepted"),
            "extreme activities",
        ),
        Need(
            "grandparents",
            ("grandpa is 82 and coming too", "my nan flies with us", "we take two great-grandparents"),
            ("travellers of any age", "octogenarians at the normal tariff"),
            "travellers above 70",
        ),
        Need(
            "last_minute",
            ("the plane leaves tonight", "we only decided this morning", "i am already at the gate"),
            ("can be bought up to boarding", "late bookers accepted"),
            "purchase in the final week",
        ),
    ),
    lookalikes=LOOKALIKES["travel"],
)

GADGET = Domain(
    "gadget",
    products=(
        Product(
            "phone",
            ("phone insurance", "something for my mobile", "a policy on an iphone"),
            ("Smartphone Policy", "Handset Plan", "Mobile Device Protection"),
        ),
        Product(
            "laptop",
            ("laptop insurance", "something for my notebook", "a policy on a macbook"),
            ("Portable Computer Policy", "Notebook Plan", "Keyboard & Screen Protection"),
        ),
        Product(
            "camera",
            ("camera insurance", "something for my lenses", "a policy on photo gear"),
            ("Photographer's Equipment Policy", "Lens & Body Plan", "Photo Kit Protection"),
        ),
    ),
    needs=(
        Need(
            "drop",
            ("it slips out of my hand", "i sat on mine", "the thing hits the pavement"),
            ("falls and fractures repaired", "clumsiness included"),
            "falls",
        ),
        Need(
            "liquid",
            ("coffee goes all over it", "mine went for a swim", "it lands in the bath"),
            ("spills and immersion included", "wet electronics replaced"),
            "liquid damage",
        ),
        Need(
            "snatch",
            ("a guy on a bike grabs it", "somebody lifts it on the train", "it vanishes from the pub table"),
            ("pickpockets and snatching included", "replaced when stolen"),
            "larceny",
        ),
        Need(
            "used",
            ("i bought it second hand", "it is refurbished", "mine is three years old already"),
            ("pre-owned devices accepted", "no receipt from new required"),
            "pre-owned devices",
        ),
        Need(
            "battery",
            ("it dies by lunchtime", "the charge no longer lasts", "mine only runs on the plug"),
            ("worn accumulators swapped", "fading cells count as a defect"),
            "wear of cells",
        ),
        Need(
            "loan",
            ("i lend it to mates", "my sister borrows it all the time", "the whole band uses it"),
            ("any user with your consent", "valid in borrowed hands"),
            "use by others",
        ),
    ),
    lookalikes=LOOKALIKES["gadget"],
)

PRIVATE: tuple[Domain, ...] = (PET, TRAVEL, GADGET)
