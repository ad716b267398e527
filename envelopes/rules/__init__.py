"""The rules engine: every rule of parts A-C as a small pure check over facts.

Gather what is known of a package (`facts.PackageFacts`), choose a profile (`profile.profile_for`,
`profile.load_profile`), and ask `runner.judge`. The rules' ids, articles and sentences are data in
`envelopes.rule_catalogue`; the checks are in the modules of this package, listed in `checks`.
"""
