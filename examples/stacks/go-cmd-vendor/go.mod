module example.org/shop

go 1.24

require example.org/greeting v0.1.0

replace example.org/greeting => ./greeting
