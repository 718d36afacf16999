"""From approved intents to orders, fills and books; nothing here touches a venue or a clock."""
