"""How we carry it out: one bounded mailbox per canary, pass after pass, each looking at the world anew."""
