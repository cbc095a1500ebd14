port ENV.fetch("PORT", 9292), "0.0.0.0"
threads 1, 5
