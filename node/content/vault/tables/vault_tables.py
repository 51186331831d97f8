"""All tables of a vault but those of its bytes."""

from collections.abc import Callable

from node.content.vault.database import Database
from node.content.vault.tables.cache_table import CacheTable
from node.content.vault.tables.follow_table import FollowTable
from node.content.vault.tables.heard_table import HeardTable
from node.content.vault.tables.lineage_table import LineageTable
from node.content.vault.tables.mod_table import ModTable
from node.content.vault.tables.target_table import TargetTable


class VaultTables:
    """What `Vault.recall` and `Vault.record` give to those that ask the tables."""

    def __init__(self, database: Database) -> None:
        self.mods = ModTable(database)
        self.lineages = LineageTable(database)
        self.cache = CacheTable(database)
        self.follows = FollowTable(database)
        self.targets = TargetTable(database)
        self.heard = HeardTable(database)


TableChange = Callable[[VaultTables], None]
"""Changes some of them, within a transaction."""
