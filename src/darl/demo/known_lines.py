"""The known lines of business: health, motor, home and life, asked for in the short way of a search box.

Searchers and product texts often share the telling word here, and a product that does *not* meet the need has
the word too; so sharing words helps without being enough.
"""

from __future__ import annotations

from darl.demo.insurance import Domain, Need, Product
from darl.demo.lookalikes import LOOKALIKES

BUDGET = Need(
    "budget",
    asked=("at a low price", "on a small budget", "cheap", "for a low monthly price"),
    offered=("low price", "cheap to run", "made for a small budget"),
    noun="low prices",
)
SENIORS = Need(
    "seniors",
    asked=("for seniors", "for my 70 year old mother", "for retired parents", "over 65"),
    offered=("seniors welcome at any age", "open to retired people", "no upper age limit"),
    noun="seniors",
)
ABROAD = Need(
    "abroad",
    asked=("valid abroad", "for foreign countries", "that works abroad", "when abroad"),
    offered=("valid abroad", "works in all foreign countries", "goes abroad with you"),
    noun="use abroad",
)

HEALTH = Domain(
    "health",
    products=(
        Product(
            "hospital",
            ("hospital insurance", "hospital cover", "private hospital plan", "insurance for surgery"),
            ("Hospital Plan", "Hospital Bill Policy", "Ward & Surgery Protection"),
        ),
        Product(
            "dental",
            ("dental insurance", "dental cover", "dentist plan", "tooth insurance"),
            ("Dental Plan", "Dentist Bill Policy", "Tooth & Crown Protection"),
        ),
        Product(
            "critical",
            ("critical illness insurance", "cancer insurance", "serious illness cover", "heart attack insurance"),
            ("Critical Illness Plan", "Cancer & Stroke Policy", "Serious Illness Lump Sum"),
        ),
        Product(
            "eyes",
            ("vision insurance", "insurance for glasses", "eye care plan", "optician cover"),
            ("Vision Plan", "Glasses & Lenses Policy", "Eye Care Protection"),
        ),
    ),
    needs=(
        Need(
            "children",
            ("for my children", "for kids", "for a six year old child", "for our daughter"),
            ("children insured too", "kids welcome", "sons and daughters join free"),
            "children",
        ),
        Need(
            "preexisting",
            ("with an old illness", "for a diabetic", "when already ill", "with a known condition"),
            ("known conditions accepted", "open to people who are already ill", "diabetic customers welcome"),
            "known conditions",
        ),
        Need(
            "no_wait",
            ("with no waiting period", "that starts right away", "valid from day one", "without waiting"),
            ("no waiting period", "starts on day one", "valid right away"),
            "claims in the waiting period",
        ),
        SENIORS,
        ABROAD,
        BUDGET,
    ),
    lookalikes=LOOKALIKES["health"],
)

MOTOR = Domain(
    "motor",
    products=(
        Product(
            "liability",
            ("third party car insurance", "car liability insurance", "third party cover", "liability cover for my car"),
            ("Third Party Plan", "Car Liability Policy", "Third Party Drive Protection"),
        ),
        Product(
            "own_damage",
            (
                "comprehensive car insurance",
                "fully comprehensive cover",
                "all risk car insurance",
                "full damage cover for my car",
            ),
            ("Comprehensive Car Plan", "All Risk Car Policy", "Own Damage Auto Protection"),
        ),
        Product(
            "breakdown",
            ("breakdown cover", "roadside assistance", "towing insurance", "breakdown help"),
            ("Breakdown Plan", "Roadside Assistance Policy", "Towing & Restart Help"),
        ),
        Product(
            "motorbike",
            ("motorcycle insurance", "motorbike insurance", "scooter cover", "moped insurance"),
            ("Motorcycle Plan", "Moped & Scooter Policy", "Motorbike Rider Protection"),
        ),
    ),
    needs=(
        Need(
            "new_driver",
            ("for a new driver", "for beginners", "for an 18 year old driver", "just passed my test"),
            ("new drivers welcome", "made for beginners", "no driving history needed"),
            "new drivers",
        ),
        Need(
            "business",
            ("for a taxi", "for deliveries", "for business use", "for work as a courier"),
            ("business use allowed", "deliveries and taxi rides insured", "paid work included"),
            "business use",
        ),
        Need(
            "electric",
            ("for an electric model", "for an ev", "for electric power", "with battery damage"),
            ("electric models welcome", "battery and charging cable insured", "made for every ev"),
            "electric models",
        ),
        Need(
            "short_term",
            ("for one week", "for a weekend", "for a few days", "short term"),
            ("short term by the day", "bookable for one week or a weekend", "ends after a few days"),
            "short terms",
        ),
        ABROAD,
        BUDGET,
    ),
    lookalikes=LOOKALIKES["motor"],
)

HOME = Domain(
    "home",
    products=(
        Product(
            "buildings",
            ("buildings insurance", "house building cover", "insurance for roof and walls", "building insurance"),
            ("Buildings Plan", "House Building Policy", "Roof and Walls Protection"),
        ),
        Product(
            "contents",
            ("contents insurance", "furniture insurance", "home contents cover", "insurance for my furniture"),
            ("Contents Plan", "Furniture & Valuables Policy", "Home Contents Protection"),
        ),
        Product(
            "landlord",
            ("landlord insurance", "landlord cover", "insurance for a flat i let", "buy to let insurance"),
            ("Landlord Plan", "Buy to Let Policy", "Rented Flat Protection"),
        ),
        Product(
            "emergency",
            ("boiler cover", "emergency plumber cover", "boiler repair insurance", "home emergency plan"),
            ("Boiler Repair Plan", "Home Emergency Policy", "Plumber Call-Out Protection"),
        ),
    ),
    needs=(
        Need(
            "flood",
            ("against flood", "with flood cover", "near a river", "for flood damage"),
            ("flood damage paid", "river water and flood included", "pays for high water"),
            "flood",
        ),
        Need(
            "break_in",
            ("against burglars", "with burglary", "against theft", "for break-ins"),
            ("burglary and theft paid", "theft by burglars included", "pays for break-ins"),
            "theft",
        ),
        Need(
            "holiday_home",
            ("for a holiday home", "for my cottage at the lake", "for a second home", "for a holiday cottage"),
            ("holiday homes welcome", "cottage or second home accepted", "for places of a few weeks a year"),
            "holiday homes",
        ),
        Need(
            "empty",
            ("for an empty house", "while it stands empty", "when nobody lives there", "for empty rooms"),
            ("empty for months and still valid", "holds when nobody lives there", "empty homes accepted"),
            "empty homes",
        ),
        Need(
            "no_excess",
            ("with no excess", "without excess", "zero excess", "that pays in full"),
            ("no excess", "pays in full", "you add nothing to a claim"),
            "the excess",
        ),
        BUDGET,
    ),
    lookalikes=LOOKALIKES["home"],
)

LIFE = Domain(
    "life",
    products=(
        Product(
            "term",
            ("term life insurance", "life insurance", "death benefit insurance", "life cover for 20 years"),
            ("Term Life Plan", "Life & Family Policy", "Death Benefit Lump Sum"),
        ),
        Product(
            "funeral",
            ("funeral insurance", "funeral plan", "burial insurance", "cover for funeral costs"),
            ("Funeral Plan", "Burial Costs Policy", "Funeral & Farewell Protection"),
        ),
        Product(
            "income",
            ("income protection", "disability insurance", "income insurance", "salary insurance"),
            ("Income Plan", "Disability Policy", "Salary & Income Protection"),
        ),
        Product(
            "pension",
            ("pension insurance", "private pension", "retirement savings plan", "annuity"),
            ("Pension Plan", "Retirement Annuity Policy", "Private Pension Savings"),
        ),
    ),
    needs=(
        Need(
            "smoker",
            ("for smokers", "for a heavy smoker", "if i smoke", "for people who smoke"),
            ("smokers pay the same", "open to people who smoke", "tobacco makes no difference"),
            "smokers",
        ),
        Need(
            "couple",
            ("for couples", "for me and my husband", "for a married couple", "joint"),
            ("couples on one contract", "joint for husband and wife", "insures both partners"),
            "couples",
        ),
        Need(
            "danger",
            ("for dangerous jobs", "for a roofer", "for firefighters", "with a dangerous job"),
            ("dangerous jobs accepted", "roofers and firefighters welcome", "no profession turned away"),
            "dangerous jobs",
        ),
        Need(
            "no_exam",
            ("without a medical exam", "no medical exam", "no health questions", "without health check"),
            ("no medical exam", "without any health questions", "no doctor has to see you"),
            "joining without a medical exam",
        ),
        SENIORS,
        BUDGET,
    ),
    lookalikes=LOOKALIKES["life"],
)

KNOWN: tuple[Domain, ...] = (HEALTH, MOTOR, HOME, LIFE)
