"""People: who they are, what they may do, and how they show it.

Software of partners has connections (`gateway.registry`); people have roles. They come with a token
of the OpenID Connect provider (`adapters.oidc`) or, where there is none, with a personal token of
this gateway (`lienthong people`). Both lead to a `Person`, and every decision is made on that.
"""
