"""New lines of business around a trade: cyber, farm and marine, asked for in whole sentences.

Like :mod:`darl.demo.new_private_lines`, none of it is in the training set.
"""

from __future__ import annotations

from darl.demo.insurance import Domain, Need, Product
from darl.demo.lookalikes import LOOKALIKES

CYBER = Domain(
    "cyber",
    products=(
        Product(
            "identity",
            ("identity theft insurance", "something for when a stranger poses as me", "a policy for stolen logins"),
            ("Identity Theft Policy", "Impersonation Plan", "My-Name-Online Protection"),
        ),
        Product(
            "ransom",
            ("ransomware insurance", "something for encrypted servers", "a policy for hackers that want bitcoin"),
            ("Extortion & Data Recovery Policy", "Ransomware Plan", "Locked Systems Protection"),
        ),
        Product(
            "fraud",
            ("online fraud insurance", "something for fake web shops", "a policy for phishing losses"),
            ("Payment Fraud Policy", "Safe Checkout Plan", "Phished Account Protection"),
        ),
    ),
    needs=(
        Need(
            "remote",
            ("everybody sits at the kitchen table", "our people log in from cafes", "the team never sees an office"),
            ("distributed staff included", "any desk on any network"),
            "staff outside company premises",
        ),
        Need(
            "tiny_firm",
            ("there are only three of us", "it is just me and an intern", "we are a very small outfit"),
            ("from one employee upwards", "micro companies welcome"),
            "companies below ten employees",
        ),
        Need(
            "teens",
            ("my son clicks on anything", "the girls share one tablet", "a twelve year old uses my password"),
            ("minors in the household included", "mistakes by juniors pay out too"),
            "minors",
        ),
        Need(
            "hotline",
            ("it happens at three at night", "i want a human on the line", "nobody here knows computers"),
            ("forensic experts answer round the clock", "a specialist rings back within minutes"),
            "help by telephone",
        ),
        Need(
            "regulator",
            ("the privacy watchdog writes to us", "we get fined", "customers drag us to court over their records"),
            ("penalties and legal defence included", "lawyers and data-protection fines paid"),
            "fines",
        ),
        Need(
            "crypto",
            ("my coins sit in a wallet", "i hold some bitcoin", "we take payment in ether"),
            ("digital currencies included", "token holdings at market value"),
            "digital currencies",
        ),
    ),
    lookalikes=LOOKALIKES["cyber"],
)

FARM = Domain(
    "farm",
    products=(
        Product(
            "crop",
            ("crop insurance", "something for my wheat", "a policy on the harvest"),
            ("Arable Yield Policy", "Field & Orchard Plan", "Standing Crop Protection"),
        ),
        Product(
            "livestock",
            ("cattle insurance", "something for the herd", "a policy on my sheep"),
            ("Livestock Policy", "Herd & Flock Plan", "Barnyard Mortality Protection"),
        ),
        Product(
            "tractor",
            ("tractor insurance", "something for the combine", "a policy on farm machines"),
            ("Agricultural Machinery Policy", "Tractor & Harvester Plan", "Field Equipment Protection"),
        ),
    ),
    needs=(
        Need(
            "organic",
            ("we don't spray anything", "the place is organic", "chemicals are banned here"),
            ("certified biological holdings accepted", "made for growers without pesticides"),
            "biological holdings",
        ),
        Need(
            "smallholder",
            ("it is two acres behind the cottage", "i do this as a hobby", "ours is a tiny holding"),
            ("from half a hectare", "spare-time growers welcome"),
            "holdings below 20 hectares",
        ),
        Need(
            "pickers",
            ("students come to help in july", "i hire hands by the day", "a crew turns up for the season"),
            ("temporary labour included", "casual workers count as yours"),
            "temporary labour",
        ),
        Need(
            "vandals",
            ("youngsters wreck things at night", "somebody sets a fire on purpose", "idiots cut the fence"),
            ("malicious acts included", "sabotage and arson paid"),
            "malicious acts",
        ),
        Need(
            "after_harvest",
            ("i have no cash until autumn", "money only comes in september", "can't pay before the sale"),
            ("premium due once the year's produce is sold", "instalments follow your seasons"),
            "deferred premiums",
        ),
        Need(
            "leased",
            ("the land belongs to an uncle", "nothing here is mine, it's all leased", "we rent from the estate"),
            ("tenants insured like owners", "hired assets accepted"),
            "tenants",
        ),
    ),
    lookalikes=LOOKALIKES["farm"],
)

MARINE = Domain(
    "marine",
    products=(
        Product(
            "hull",
            ("yacht insurance", "something for my sailboat", "a policy on the hull"),
            ("Hull & Rigging Policy", "Yacht Plan", "Sail and Motor Craft Protection"),
        ),
        Product(
            "cargo",
            ("cargo insurance", "something for a container at sea", "a policy on freight"),
            ("Ocean Cargo Policy", "Freight Plan", "Goods-Afloat Protection"),
        ),
        Product(
            "harm",
            ("boat liability", "something for when i ram a pier", "insurance against sinking another's dinghy"),
            ("Skipper's Liability", "Collision-with-Others Policy", "Water Traffic Responsibility Plan"),
        ),
    ),
    needs=(
        Need(
            "charter",
            ("paying guests come aboard", "strangers hire her in summer", "we rent the berth by the week"),
            ("commercial hire included", "charter parties accepted"),
            "commercial hire",
        ),
        Need(
            "regatta",
            ("we race on sundays", "there is a regatta in june", "i want to win the cup"),
            ("competition under sail included", "buoys, starts and spinnakers covered"),
            "competition under sail",
        ),
        Need(
            "pirates",
            ("the route passes somalia", "gunmen may climb up the side", "we sail through a war zone"),
            ("piracy and armed conflict included", "risky waters accepted"),
            "risky waters",
        ),
        Need(
            "single",
            ("it is only one crossing", "we make the voyage once", "just rotterdam to bergen and never again"),
            ("single passage tariff", "sold per voyage"),
            "single passages",
        ),
        Need(
            "wreck",
            ("she goes down in the harbour", "the wreck has to be lifted", "divers must clear the channel"),
            ("salvage and removal paid", "raising what has sunk included"),
            "salvage",
        ),
        Need(
            "wood",
            ("she is all oak and tar", "it was built in 1911", "the planks are older than me"),
            ("timber construction of any year accepted", "heritage craft welcome"),
            "timber construction",
        ),
    ),
    lookalikes=LOOKALIKES["marine"],
)

TRADE: tuple[Domain, ...] = (CYBER, FARM, MARINE)
