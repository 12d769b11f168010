"""`esl-controller doctor`: tests each link between a phone and the model, in a call's order.

Lives here: `case` (the order, and what each check needs), `report` (findings as text and JSON), a
module `*_checks` for each stretch of the way, and what they stand on: a leg of their own at
FreeSWITCH, the dialplan as it is served, a listener for where no controller runs.
May import the catalogue, and all that diagnostics may. Never belongs here: anything that changes a
system without having asked, or that a running controller needs.
"""
