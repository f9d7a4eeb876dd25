"""The first rows of a new shop."""

from __future__ import annotations

# sku, name, summary, euro cents, stock, manual
PRODUCTS = [
    ("KET-01", "Copper kettle", "Hand-hammered, 1.2 litres, for gas and induction.", 4900, 12, "kettle.txt"),
    ("LMP-01", "Desk lamp", "Warm light on a brass arm that stays where you put it.", 3990, 30, "lamp.txt"),
    ("TEA-01", "Assam breakfast tea", "Malty and strong; 250 g in a tin.", 1250, 140, ""),
    ("BRD-01", "Oak bread board", "One piece of oiled oak, grooved for crumbs.", 2800, 25, "board.txt"),
    ("MUG-01", "Stoneware mug", "Holds a third of a litre, survives the dishwasher.", 1400, 80, ""),
    ("LMP-02", "Reading lamp", "Clips to a shelf, dims without a hum.", 2750, 18, "lamp.txt"),
    ("BLK-01", "Wool blanket", "Grey herringbone from a mill that still weaves.", 8900, 9, ""),
    ("POT-01", "Cast iron pot", "Four litres, enamelled inside, heavy on purpose.", 11900, 7, "pot.txt"),
    ("KNF-01", "Kitchen knife", "Carbon steel, 18 cm, comes sharp.", 6400, 21, "knife.txt"),
    ("CND-01", "Beeswax candles", "Six of them; they burn for seven hours each.", 1800, 60, ""),
    ("CLK-01", "Wall clock", "Silent movement behind real glass.", 5400, 14, "clock.txt"),
    ("APR-01", "Linen apron", "Washed linen with a pocket for a thermometer.", 3200, 33, ""),
    ("SCL-01", "Kitchen scales", "Weighs from one gram to five kilograms.", 4500, 16, "scales.txt"),
    ("TEA-02", "Sencha green tea", "First harvest, 100 g in paper.", 1650, 75, ""),
    ("BSK-01", "Willow basket", "Carries a week of vegetables.", 3900, 11, ""),
    ("LMP-03", "Storm lamp", "Paraffin lamp for the garden table.", 2450, 26, "lamp.txt"),
]

# email, name, password, staff
USERS = [
    ("staff@shop.example", "Warehouse", "pallet-and-fork", 1),
    ("mara@shop.example", "Mara Lind", "harbour-street-4", 0),
]

# product, author, rating, title, text
REVIEWS = [
    (1, "Mara Lind", 5, "Sings in tune", "Boils fast and looks better every month."),
    (2, "Jon Aasen", 4, "Good light", "The arm holds, the cable could be longer."),
    (3, "Mara Lind", 5, "My morning", "Strong enough for milk."),
]

# product, author, text
QUESTIONS = [
    (1, "Jon Aasen", "Does the handle get hot?"),
    (3, "Mara Lind", "Which harvest is this from?"),
]

# code, percent
VOUCHERS = [("SPRING10", 10), ("WELCOME5", 5)]

PARCELS = {"KO-1001": "left our warehouse on Monday", "KO-1002": "waits at the pick-up point"}
RETURNS = {"RT-2001": "arrived, the money is on its way", "RT-2002": "has not reached us yet"}
GIFTS = {"mother": ("Copper kettle", "Wool blanket"), "friend": ("Beeswax candles", "Stoneware mug")}
SIZES = {"child": "S, 110 to 140 cm", "adult": "M or L, 165 to 185 cm"}
