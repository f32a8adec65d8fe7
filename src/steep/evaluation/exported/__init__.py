"""What an export lays beside its data: files that stand alone, without Steep.

They are written out under the name of the export, in place of `closed_book`.
"""
