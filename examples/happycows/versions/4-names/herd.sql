SELECT id || ' ' || name || ' is ' || mood
FROM cows
ORDER BY name, id
LIMIT 100
