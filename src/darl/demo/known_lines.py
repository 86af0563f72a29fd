"""The known lines of business: health, motor, home and life, asked for in the short way of a search box."""

from __future__ import annotations

from darl.demo.insurance import Domain, Need, Product
from darl.demo.lookalikes import LOOKALIKES

BUDGET = Need(
    "budget",
    asked=("on a tight budget", "at a low price", "for less than 20 a month", "that costs little"),
    offered=("one of our lowest premiums", "priced for small purses", "cheap to run at a few coins a day"),
    noun="low premiums",
)
CANCEL = Need(
    "cancel",
    asked=("i can cancel any time", "without a long contract", "with no minimum term", "cancel monthly"),
    offered=("leave at the end of any month", "no fixed contract length", "stop whenever you like"),
    noun="early cancellation",
)
NO_EXAM = Need(
    "no_exam",
    asked=("without a medical exam", "no health questions", "with no doctor's check", "no medical"),
    offered=("join without a check-up", "no questionnaire about your body", "no physician has to see you"),
    noun="joining without an examination",
)
SENIORS = Need(
    "seniors",
    asked=("for my 70 year old mother", "for seniors", "for retired parents", "over 65"),
    offered=("open to pensioners", "no upper age limit", "made for the older generation"),
    noun="people above 60",
)
ABROAD = Need(
    "abroad",
    asked=("valid abroad", "that works overseas", "in other countries", "while in a foreign country"),
    offered=("protection continues outside the country", "worldwide validity", "use it in any nation"),
    noun="cover beyond the border",
)

HEALTH = Domain(
    "health",
    products=(
        Product(
            "hospital",
            ("hospital insurance", "inpatient cover", "private hospital plan", "insurance for surgery"),
            ("Inpatient Plan", "Ward & Operation Policy", "Hospital Bill Protection"),
        ),
        Product(
            "dental",
            ("dental insurance", "tooth cover", "dentist plan", "insurance for fillings and crowns"),
            ("Smile Plan", "Dental Care Policy", "Teeth & Gums Protection"),
        ),
        Product(
            "critical",
            ("critical illness cover", "cancer insurance", "serious illness plan", "heart attack lump sum"),
            ("Critical Illness Policy", "Grave Diagnosis Payout", "Cancer, Stroke & Heart Plan"),
        ),
        Product(
            "eyes",
            ("vision insurance", "cover for glasses", "optician plan", "eye care insurance"),
            ("Optical Plan", "Sight Policy", "Spectacles & Lenses Protection"),
        ),
    ),
    needs=(
        Need(
            "children",
            ("for my kids", "for children", "for a six year old", "for my daughter"),
            ("sons and daughters insured too", "young ones under 16 are welcome", "built around pupils"),
            "children",
        ),
        Need(
            "freelance",
            ("for the self-employed", "for freelancers", "if i run my own business", "for a sole trader"),
            ("made for people without an employer", "suits independent workers", "for one-person firms"),
            "independent workers",
        ),
        Need(
            "preexisting",
            ("with a pre-existing condition", "for a diabetic", "despite an old illness", "when already sick"),
            ("past illnesses accepted", "open to people in treatment", "your case history is no obstacle"),
            "known conditions",
        ),
        Need(
            "no_wait",
            ("with no waiting period", "that starts right away", "effective immediately", "usable today"),
            ("benefits from day one", "claim in your first week", "full rights on signing"),
            "claims in the first six months",
        ),
        SENIORS,
        ABROAD,
        NO_EXAM,
        BUDGET,
    ),
    lookalikes=LOOKALIKES["health"],
)

MOTOR = Domain(
    "motor",
    products=(
        Product(
            "liability",
            ("third party car insurance", "car liability insurance", "minimum motor cover", "basic car cover"),
            ("Third-Party Motor Policy", "Road Liability Plan", "Harm-to-Others Drive Protection"),
        ),
        Product(
            "own_damage",
            ("fully comprehensive car insurance", "casco insurance", "all risk car cover", "full car cover"),
            ("Own-Damage Auto Policy", "Comprehensive Drive Plan", "All-Risk Vehicle Protection"),
        ),
        Product(
            "breakdown",
            ("breakdown cover", "roadside assistance", "towing insurance", "recovery plan for the car"),
            ("Roadside Rescue", "Tow & Restart Plan", "Stranded Driver Help"),
        ),
        Product(
            "motorbike",
            ("motorbike insurance", "motorcycle cover", "scooter insurance", "moped insurance"),
            ("Two-Wheel Policy", "Rider Plan", "Motorcycle & Moped Protection"),
        ),
    ),
    needs=(
        Need(
            "new_driver",
            ("for a new driver", "just passed my test", "for an 18 year old", "for beginners"),
            ("fresh licence holders welcome", "no driving record needed", "made for learners turned loose"),
            "novices at the wheel",
        ),
        Need(
            "business",
            ("for a taxi", "for deliveries", "for work use", "for a courier"),
            ("carrying goods or passengers for pay included", "professional mileage insured", "trade use allowed"),
            "commercial trips",
        ),
        Need(
            "electric",
            ("for an electric vehicle", "for an ev", "for battery power", "for a plug-in"),
            ("charging cable and accumulator insured", "made for zero-emission models", "empty battery is our job"),
            "models without a combustion engine",
        ),
        Need(
            "classic",
            ("for a classic", "for a 30 year old vehicle", "for an oldtimer", "for vintage models"),
            ("collectors' pieces at agreed value", "any year of build since 1920", "for well-kept veterans"),
            "vehicles older than 15 years",
        ),
        Need(
            "short_term",
            ("for one week", "for a weekend", "for a few days", "temporary"),
            ("bookable by the day", "runs from 24 hours to a month", "ends by itself after your dates"),
            "terms shorter than a year",
        ),
        Need(
            "second_driver",
            ("with my wife as second driver", "for two drivers", "shared with a friend", "for the whole household"),
            ("anyone you name may drive", "several people on one contract", "partner included at no charge"),
            "additional drivers",
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
            ("buildings insurance", "house structure insurance", "roof and walls cover", "homeowners insurance"),
            ("Bricks & Mortar Policy", "Building Structure Plan", "Roof-to-Cellar Protection"),
        ),
        Product(
            "contents",
            ("contents insurance", "furniture cover", "insurance for my belongings", "household goods cover"),
            ("Household Contents Policy", "Possessions Plan", "Furniture & Valuables Protection"),
        ),
        Product(
            "landlord",
            ("landlord insurance", "buy to let cover", "rental property insurance", "cover for flats i rent out"),
            ("Let Property Policy", "Landlord Plan", "Rental Owner Protection"),
        ),
        Product(
            "emergency",
            ("home emergency cover", "boiler breakdown plan", "emergency plumber cover", "heating repair cover"),
            ("Domestic Emergency Help", "Boiler & Pipes Plan", "24-Hour Tradesman Call-Out"),
        ),
    ),
    needs=(
        Need(
            "flood",
            ("against flooding", "that includes flood", "near a river", "for high water"),
            ("rising rivers and burst banks covered", "inundation included", "pays after a deluge"),
            "water from rivers",
        ),
        Need(
            "break_in",
            ("against burglary", "if thieves break in", "for break-ins", "with burglar cover"),
            ("intruders and forced locks covered", "housebreaking included", "pays after a robbery at your door"),
            "acts of thieves",
        ),
        Need(
            "holiday_home",
            ("for a holiday home", "for my cottage at the lake", "for a second home", "for a weekend cabin"),
            ("vacation residences accepted", "for places you use a few weeks a year", "chalets and huts welcome"),
            "vacation residences",
        ),
        Need(
            "empty",
            ("while the house is empty", "for a vacant flat", "unoccupied for six months", "with nobody living in"),
            ("holds when no one is in for long", "up to a year without residents", "stays valid between occupants"),
            "addresses without residents",
        ),
        Need(
            "listed",
            ("for a listed house", "for a 200 year old farmhouse", "for a thatched cottage", "for a heritage home"),
            ("monuments and straw roofs accepted", "historic construction is no problem", "any century of building"),
            "historic construction",
        ),
        Need(
            "no_excess",
            ("with no excess", "zero deductible", "that pays in full", "without own share"),
            ("you add nothing to a claim", "the first coin is ours too", "nothing withheld from your payout"),
            "payment of the first 500",
        ),
        CANCEL,
        BUDGET,
    ),
    lookalikes=LOOKALIKES["home"],
)

LIFE = Domain(
    "life",
    products=(
        Product(
            "term",
            ("term life insurance", "life cover for 20 years", "death benefit cover", "life assurance"),
            ("Term Life Policy", "Family Bequest Plan", "If-I-Die Lump Sum"),
        ),
        Product(
            "funeral",
            ("funeral plan", "burial insurance", "cover for funeral costs", "final expenses insurance"),
            ("Last Farewell Plan", "Funeral Expenses Policy", "Burial & Ceremony Protection"),
        ),
        Product(
            "income",
            ("income protection", "disability insurance", "salary cover if unable to work", "loss of earnings cover"),
            ("Wage Replacement Policy", "Unable-to-Work Plan", "Disability Income Protection"),
        ),
        Product(
            "pension",
            ("annuity", "retirement income plan", "private pension policy", "old age savings insurance"),
            ("Lifelong Pension Plan", "Annuity Policy", "Retirement Savings Contract"),
        ),
    ),
    needs=(
        Need(
            "smoker",
            ("for smokers", "for a heavy smoker", "if i smoke", "for cigarette users"),
            ("tobacco makes no difference", "same terms with or without nicotine", "open to pack-a-day customers"),
            "tobacco users",
        ),
        Need(
            "couple",
            ("for couples", "for me and my husband", "joint", "for married partners"),
            ("two names on one contract", "insures both spouses", "one plan, two lives"),
            "contracts on two lives",
        ),
        Need(
            "danger",
            ("for dangerous jobs", "for a roofer", "for soldiers", "for firefighters"),
            ("high-risk occupations accepted", "no profession turned away", "scaffolds and front lines included"),
            "hazardous occupations",
        ),
        Need(
            "inflation",
            ("that rises with inflation", "index linked", "keeping up with prices", "with yearly increase"),
            ("sum grows with the cost of living", "benefit adjusted each January", "keeps its buying power"),
            "adjustment to the cost of living",
        ),
        SENIORS,
        NO_EXAM,
        CANCEL,
        BUDGET,
    ),
    lookalikes=LOOKALIKES["life"],
)

KNOWN: tuple[Domain, ...] = (HEALTH, MOTOR, HOME, LIFE)
