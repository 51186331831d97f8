"""What a holder serves: which links are unchoked, and which chunks a full holder shows to whom."""
