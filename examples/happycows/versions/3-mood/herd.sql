SELECT id || ' ' || name || ' is ' || mood
FROM cows
ORDER BY id
LIMIT 100
