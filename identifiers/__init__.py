"""Names of things: agency codes, document ids, and the directory that ties old codes to new ones.

Pure logic: no input or output, no clock. Everything above may use it; it uses nothing of ours.
"""
